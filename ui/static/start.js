// The dialog before a start: what may go wrong, to be confirmed. Needs el() of fields.js.
function confirmStart(warnings) {
  const t = props.value.texts;
  return new Promise((done) => {
    const close = (answer) => () => { dialog.close(); dialog.remove(); done(answer); };
    const dialog = el("dialog", { class: "athanor-dialog start-dialog", "aria-label": t["start.title"] },
      el("header", {}, el("strong", {}, t["start.title"])),
      el("ul", {}, ...warnings.map((text) => el("li", {}, text))),
      el("div", { class: "dialog-foot" }, el("span", {}),
        el("button", { type: "button", autofocus: true, onclick: close(false) }, t["start.back"]),
        el("button", { type: "button", class: "main-button", onclick: close(true) }, t["start.anyway"])));
    dialog.addEventListener("cancel", close(false));
    document.body.append(dialog);
    dialog.showModal();
  });
}

// Asks the server to start; what it warns of is confirmed and asked for again.
async function startRun(request) {
  const answer = await ask("start", request);
  if (!answer?.warnings) return answer;
  return (await confirmStart(answer.warnings)) ? ask("start", { ...request, confirmed: true }) : { ...answer, message: "" };
}
