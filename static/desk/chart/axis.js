/* Times on the chart, written by Intl in the chosen zone.  The series themselves hold UTC seconds and are never shifted. */
import { zoneName } from "../format.js";

const PARTS = {
  year: { year: "numeric" },
  month: { month: "short", year: "2-digit" },
  day: { day: "numeric", month: "short" },
  minute: { hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
  second: { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" },
  full: { day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" },
};
const BY_WEIGHT = ["year", "month", "day", "minute", "second"]; // the library's TickMarkType
const made = new Map();

/** s UTC → text in a zone; parts: a name of PARTS. */
export function zoned(seconds, zone, parts) {
  const key = `${zone} ${parts}`;
  if (!made.has(key)) made.set(key, new Intl.DateTimeFormat("en-GB", { ...PARTS[parts], timeZone: zone }));
  return made.get(key).format(seconds * 1000);
}

/** Formatters of the library for a zone. */
export function timeTexts(zone) {
  return {
    tick: (seconds, weight) => zoned(seconds, zone, BY_WEIGHT[weight] ?? "minute"),
    crosshair: (seconds) => `${zoned(seconds, zone, "full")} ${zoneName(zone)}`,
  };
}

/** s UTC → "2026-11-29T08:17:50-06:00", ISO with the zone's offset at that moment. */
export function iso(seconds, zone) {
  const parts = new Intl.DateTimeFormat("en-CA", {
    timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZoneName: "longOffset",
  }).formatToParts(seconds * 1000);
  const get = (type) => parts.find((part) => part.type === type)?.value ?? "";
  const offset = get("timeZoneName").replace("GMT", "") || "+00:00";
  return `${get("year")}-${get("month")}-${get("day")}T${get("hour")}:${get("minute")}:${get("second")}${offset}`;
}
