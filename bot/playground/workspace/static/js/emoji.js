// The few emoji short names that the bot and its people use; any other is shown as it was typed.

import { h } from "./dom.js";

const EMOJI = {
  rotating_light: "🚨", red_circle: "🔴", large_orange_circle: "🟠", orange_circle: "🟠",
  large_yellow_circle: "🟡", large_green_circle: "🟢", large_blue_circle: "🔵", white_circle: "⚪", black_circle: "⚫",
  white_check_mark: "✅", heavy_check_mark: "✔️", ballot_box_with_check: "☑️", x: "❌", no_entry: "⛔", no_entry_sign: "🚫",
  warning: "⚠️", exclamation: "❗", question: "❓", information_source: "ℹ️", bulb: "💡",
  hourglass_flowing_sand: "⏳", hourglass: "⌛", stopwatch: "⏱️", alarm_clock: "⏰", clock3: "🕒",
  lock: "🔒", unlock: "🔓", key: "🔑", shield: "🛡️", mag: "🔍", eyes: "👀", eye: "👁️", bell: "🔔", no_bell: "🔕",
  memo: "📝", clipboard: "📋", page_facing_up: "📄", package: "📦", truck: "🚚", moneybag: "💰", yen: "💴",
  credit_card: "💳", bust_in_silhouette: "👤", busts_in_silhouette: "👥", robot_face: "🤖",
  chart_with_upwards_trend: "📈", chart_with_downwards_trend: "📉", bar_chart: "📊", calendar: "📅", link: "🔗",
  "+1": "👍", thumbsup: "👍", "-1": "👎", thumbsdown: "👎", pray: "🙏", wave: "👋", ok_hand: "👌", raised_hands: "🙌",
  tada: "🎉", sparkles: "✨", fire: "🔥", heart: "❤️", smile: "😄", slightly_smiling_face: "🙂", thinking_face: "🤔",
  arrow_right: "➡️", arrow_up: "⬆️", arrow_down: "⬇️", pause_button: "⏸️", arrow_forward: "▶️", double_vertical_bar: "⏸️",
  small_red_triangle: "🔺", small_red_triangle_down: "🔻", pushpin: "📌", speech_balloon: "💬", wrench: "🔧", gear: "⚙️",
};

export function emojiFor(name) {
  return Object.hasOwn(EMOJI, name) ? EMOJI[name] : null;
}

export function withEmoji(text) {
  return text.replace(/:([a-z0-9_+-]+):/g, (whole, name) => emojiFor(name) ?? whole);
}

// Signs that cards lean on are drawn by the page: a machine without an emoji font would show boxes.
const SIGNS = {
  "🔴": "red", "🟠": "orange", "🟡": "yellow", "🟢": "green", "🔵": "blue", "⚪": "white",
  "✅": "done", "⚠️": "warning", "⚠": "warning", "⏳": "hourglass", "⌛": "hourglass", "❌": "cross", "⛔": "no-entry",
  "🔍": "magnifier", "🚨": "siren", "ℹ️": "info", "⏸️": "pause", "⏸": "pause", "🔒": "lock", "👀": "eyes", "🔔": "bell",
};
const SIGN = new RegExp(Object.keys(SIGNS).sort((a, b) => b.length - a.length).join("|"), "u");

// The text with its signs drawn; the character itself stays in the page, to be read, copied and found.
export function withSigns(text) {
  const match = SIGN.exec(text);
  if (!match) return text ? [text] : [];
  const sign = h("span", { class: `sign sign-${SIGNS[match[0]]}` }, h("span", {}, match[0]));
  return [...(match.index ? [text.slice(0, match.index)] : []), sign, ...withSigns(text.slice(match.index + match[0].length))];
}
