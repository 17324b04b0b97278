// Asks a question before something is done, in Slack's confirm dialog.

import { h } from "./dom.js";
import { plainText, textObject } from "./mrkdwn.js";
import { say } from "./words.js";

export function confirmed(question, people) {
  return new Promise((resolve) => {
    let answer = false;
    const done = (value) => {
      answer = value;
      dialog.close();
    };
    const style = question.style === "danger" ? "button-danger" : "button-primary";
    const dialog = h(
      "dialog",
      { class: "dialog dialog-confirm", role: "alertdialog", "aria-labelledby": "confirm-title", "aria-describedby": "confirm-text" },
      h("div", { class: "dialog-body" }, h("h2", { id: "confirm-title" }, plainText(question.title)), h("div", { class: "prose", id: "confirm-text" }, textObject(question.text, people))),
      h(
        "div",
        { class: "dialog-foot" },
        h("button", { class: "button", type: "button", on: { click: () => done(false) } }, question.deny ? plainText(question.deny) : say("cancel")),
        h("button", { class: `button ${style}`, type: "button", on: { click: () => done(true) } }, question.confirm ? plainText(question.confirm) : say("ok")),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
