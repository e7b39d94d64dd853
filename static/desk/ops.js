/* A run under way refreshes itself: the same page is fetched every two seconds and its live part exchanged.  When the run
   is over, the page is loaded once more as a whole.  A page that does not answer keeps what it shows and says so. */
const EVERY_MS = 2000;

async function refresh() {
  const place = document.querySelector("[data-live]");
  if (!place || document.hidden) return;
  try {
    const response = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!response.ok) throw new Error(`status ${response.status}`);
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    const next = fresh.querySelector("[data-live]");
    if (!next || !next.querySelector(".running")) {
      location.reload();
      return;
    }
    if (!place.contains(document.activeElement)) place.replaceChildren(...next.childNodes);
    const stamp = fresh.querySelector(".stamp");
    if (stamp) document.querySelector(".stamp").replaceWith(stamp);
  } catch (error) {
    console.warn("the page does not answer", error.message);
    document.querySelector(".stamp")?.classList.add("bad");
  }
}

setInterval(refresh, EVERY_MS);
