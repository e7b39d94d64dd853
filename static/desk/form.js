/* The form of a new session: choosing a market fills in what usually goes with it.  Only fields nobody has touched change. */
export function installForm() {
  for (const form of document.querySelectorAll(".new-session")) {
    const usual = JSON.parse(form.dataset.usual ?? "{}");
    const touched = new Set();
    form.addEventListener("input", (event) => {
      if (event.target.name !== "feed") touched.add(event.target.name);
    });
    const fit = () => {
      const feed = form.elements.feed.value;
      for (const [name, value] of Object.entries(usual[feed] ?? {})) {
        const field = form.elements[name];
        if (field && !touched.has(name)) field.value = value;
      }
      for (const box of form.querySelectorAll("[data-only]")) box.hidden = !box.dataset.only.split(" ").includes(feed);
    };
    form.addEventListener("change", (event) => {
      if (event.target.name === "feed") fit();
    });
    fit();
  }
  document.addEventListener("keydown", (event) => {
    const open = document.querySelector("details.start[open]");
    if (event.key === "Escape" && open) {
      open.open = false;
      open.querySelector("summary").focus();
    }
  });
}
