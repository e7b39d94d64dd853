/* The first steps on the Desk: one line, four steps, each outlines what it speaks of and covers nothing.  Dismissed, it stays away. */
const YEAR_S = 31536000;

export function installCoach(coach) {
  const steps = [...coach.querySelectorAll("li")];
  const next = coach.querySelector("#coach-next");
  let at = 0;

  function show() {
    steps.forEach((step, i) => { step.hidden = i !== at; });
    coach.querySelector("#coach-count").textContent = `${at + 1} / ${steps.length}`;
    for (const node of document.querySelectorAll("[data-coached]")) delete node.dataset.coached;
    const node = document.getElementById(steps[at].dataset.of);
    if (node) node.dataset.coached = "yes"; // the panels own their classes
    next.hidden = at === steps.length - 1;
  }

  function leave() {
    document.cookie = `coach=off; path=/; max-age=${YEAR_S}; samesite=strict`;
    for (const node of document.querySelectorAll("[data-coached]")) delete node.dataset.coached;
    coach.remove();
  }

  next.addEventListener("click", () => {
    at = Math.min(at + 1, steps.length - 1);
    show();
    if (next.hidden) coach.querySelector("#coach-off").focus();
  });
  coach.querySelector("#coach-off").addEventListener("click", leave);
  for (const button of coach.querySelectorAll("button")) button.disabled = false;
  show();
}

const coach = document.getElementById("coach");
if (coach) installCoach(coach);
