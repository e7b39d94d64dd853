/* The form of a new session: choosing a market fills in what usually goes with it.  Only fields nobody has touched change;
 * what the page came with is what was asked for, so at first only empty ones are filled. */
export function installForm() {
  for (const form of document.querySelectorAll(".new-session")) {
    const usual = JSON.parse(form.dataset.usual ?? "{}");
    const touched = new Set();
    form.addEventListener("input", (event) => {
      if (event.target.name !== "feed") touched.add(event.target.name);
    });
    const fit = (first) => {
      for (const [name, value] of Object.entries(usual[form.elements.feed.value] ?? {})) {
        const field = form.elements[name];
        if (field && (first ? field.value === "" : !touched.has(name))) field.value = value;
      }
    };
    form.addEventListener("change", (event) => {
      if (event.target.name === "feed") fit(false);
      const symbols = usual.profiles?.[event.target.value];
      if (event.target.name === "profile" && symbols && form.elements.feed.value === "simulated" && !touched.has("symbol")) form.elements.symbol.value = symbols;
    });
    fit(true);
  }
  document.addEventListener("keydown", (event) => {
    const open = document.querySelector("details.start[open]");
    if (event.key === "Escape" && open) {
      open.open = false;
      open.querySelector("summary").focus();
    }
  });
}
