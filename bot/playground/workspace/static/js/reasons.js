// Says in a sentence why the app's answer to a press, a form or a command did not arrive.

import { say } from "./words.js";

export function reasonFor(answer) {
  const error = String(answer.error || "");
  if (/time_?d?_?out/i.test(error)) return say("timeout");
  if (answer.status >= 300) return `${say("httpError", { status: answer.status })}${error ? ` (${error})` : ""}`;
  if (!answer.status && /connect|refused|unreachable|dispatch/i.test(error)) return `${say("noAnswer")} (${error})`;
  return error || say("noAnswer");
}
