// Asks how far tagging is, once a second; leads to its run and to the captions. Follows actions.js.
const asking = setInterval(() => {
  if (!element.isConnected) clearInterval(asking);
  else if (!document.hidden && element.querySelector("[data-tagging]")) trigger("poll", { action: "poll" });
}, 1000);

element.addEventListener("click", (event) => {
  const { showRun, captions } = event.target.closest("button")?.dataset ?? {};
  if (showRun) window.athanor.openRun(showRun);
  if (captions) window.athanor.openCaptions(captions);
});

// Every answer draws the buttons anew: the one that had the focus has it again.
let focused = "";
element.addEventListener("focusin", (event) => (focused = event.target.dataset?.action ?? ""));
element.addEventListener("focusout", (event) => event.relatedTarget && (focused = ""));
watch("value", () => {
  const gone = document.activeElement === document.body || document.activeElement === null;
  if (focused && gone) element.querySelector(`[data-action="${focused}"]`)?.focus();
});
