/* Pre-flight is good for a while: the age runs, and then Start asks for a new look.  The server checks again in any case. */
const start = document.getElementById("start-paper");
const age = document.getElementById("preflight-age");

function refuse(event) {
  if (start.getAttribute("aria-disabled") === "true") {
    event.preventDefault();
    document.getElementById("check-again").focus();
    return;
  }
  start.textContent = "Starting: checking once more";
}

function watch() {
  const good = Number(age.dataset.good);
  const began = performance.now();
  const tick = () => {
    const seconds = Math.round((performance.now() - began) / 1000);
    const old = seconds > good;
    age.textContent = old ? `${seconds} s old: check again` : `${seconds} s old, good for ${good} s`;
    age.classList.toggle("warn", old);
    start.setAttribute("aria-disabled", String(old));
  };
  setInterval(tick, 1000);
  tick();
}

if (start) start.form.addEventListener("submit", refuse);
if (start && age) watch();
