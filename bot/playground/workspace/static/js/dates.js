// Says times in the reader's language and time zone, and fills Slack's <!date> tokens.

import { currentLanguage, say } from "./words.js";

let skew = 0;

export function setServerNow(now) {
  const seconds = typeof now === "number" ? now : Number(now) || Date.parse(now) / 1000;
  if (Number.isFinite(seconds)) skew = seconds * 1000 - Date.now();
}

export function serverNow() {
  return Date.now() + skew;
}

export function toDate(ts) {
  return new Date(Number(ts) * 1000);
}

const formatters = new Map();

function format(date, options) {
  const tag = currentLanguage() === "ja" ? "ja-JP" : "en-GB";
  const key = tag + JSON.stringify(options);
  if (!formatters.has(key)) formatters.set(key, new Intl.DateTimeFormat(tag, options));
  return formatters.get(key).format(date);
}

export function clock(date) {
  return format(date, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

export function clockSeconds(date) {
  return format(date, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
}

export function full(date) {
  return format(date, { dateStyle: "full", timeStyle: "medium" });
}

export function dayKey(date) {
  return `${date.getFullYear()}-${date.getMonth()}-${date.getDate()}`;
}

function pretty(date) {
  for (const [offset, key] of [[0, "today"], [-1, "yesterday"], [1, "tomorrow"]]) {
    const other = new Date(serverNow());
    other.setDate(other.getDate() + offset);
    if (dayKey(other) === dayKey(date)) return say(key);
  }
  return null;
}

export function dayName(date) {
  const options = { month: "long", day: "numeric", weekday: "long" };
  if (date.getFullYear() !== new Date(serverNow()).getFullYear()) options.year = "numeric";
  return pretty(date) || format(date, options);
}

export function dayAndClock(date) {
  const day = pretty(date) || format(date, { month: "short", day: "numeric" });
  return `${day} ${clock(date)}`;
}

function ago(date) {
  const seconds = (date.getTime() - serverNow()) / 1000;
  const relative = new Intl.RelativeTimeFormat(currentLanguage(), { numeric: "auto" });
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(seconds) >= size) return relative.format(Math.trunc(seconds / size), unit);
  }
  return relative.format(Math.trunc(seconds), "second");
}

const LONG = { weekday: "long", year: "numeric", month: "long", day: "numeric" };
const PLAIN = { year: "numeric", month: "long", day: "numeric" };
const SHORT = { year: "numeric", month: "short", day: "numeric" };

const TOKENS = {
  date_num: (date) => `${date.getFullYear()}-${String(date.getMonth() + 1).padStart(2, "0")}-${String(date.getDate()).padStart(2, "0")}`,
  date: (date) => format(date, PLAIN),
  date_slash: (date) => format(date, { year: "numeric", month: "2-digit", day: "2-digit" }),
  date_short: (date) => format(date, SHORT),
  date_long: (date) => format(date, LONG),
  date_long_full: (date) => format(date, LONG),
  date_pretty: (date) => pretty(date) || format(date, PLAIN),
  date_short_pretty: (date) => pretty(date) || format(date, SHORT),
  date_long_pretty: (date) => pretty(date) || format(date, LONG),
  day_divider_pretty: (date) => dayName(date),
  time: (date) => clock(date),
  time_secs: (date) => clockSeconds(date),
  ago: (date) => ago(date),
};

export function fillDateTokens(ts, pattern, fallback) {
  const date = toDate(ts);
  if (Number.isNaN(date.getTime())) return fallback;
  return pattern.replace(/\{(\w+)\}/g, (whole, name) => (name in TOKENS ? TOKENS[name](date) : whole));
}
