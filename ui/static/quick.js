// Quick: shows a draft that was changed elsewhere, and goes to a run that was started. Follows actions.js.
const shown = (event) => {
  if (!element.isConnected) document.removeEventListener("athanor:shown", shown);
  else if (event.detail.page === "train" && event.detail.view === "quick") trigger("shown");
};
document.addEventListener("athanor:shown", shown);

let opened = "";
watch("value", () => {
  const run = element.querySelector("[data-open-run]")?.dataset.openRun || "";
  element.querySelector("dialog")?.showModal();
  if (run && run !== opened) window.athanor.openRun(run);
  opened = run;
});
