/* What every signed-in page has: KILL, theme and density, and the live strip where nothing else is live. */
import { by } from "./dom.js";
import { installKill } from "./kill.js";
import { installLook } from "./look.js";
import { watch } from "./watch.js";

installKill();
installLook();
const strip = by("strip");
if (strip?.dataset.session && !by("desk")) watch(Number(strip.dataset.session));
