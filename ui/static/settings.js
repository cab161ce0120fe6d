// The settings: each control with data-setting is saved when it changes, and says so beside itself.
element.addEventListener("change", async (event) => {
  const name = event.target.dataset.setting;
  if (!name) return;
  const answer = await server.change_setting({ name, value: event.target.value.trim() });
  if (name === "theme") window.athanor?.theme(event.target.value);
  const setting = event.target.closest(".setting");
  const note = setting.querySelector("[role=status]") || setting.appendChild(document.createElement("p"));
  note.setAttribute("role", "status");
  note.className = answer.error ? "field-error" : "saved";
  note.textContent = answer.error || answer.text;
});
// What the caches hold of no use: first a look, then, when there is something, its removal.
element.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-caches]");
  if (!button) return;
  const setting = button.closest(".setting");
  const told = setting.querySelector(".caches-told");
  const buttons = [...setting.querySelectorAll("[data-caches]")];
  buttons.forEach((each) => { each.disabled = true; });
  told.className = "caches-told";
  told.textContent = told.dataset.working;
  const ask = setting.id === "setting-thumbnails" ? server.thumbnails : server.clean_caches;
  const answer = await ask({ remove: button.dataset.caches === "clean" });
  buttons.forEach((each) => { each.disabled = false; });
  setting.querySelector("[data-caches=clean]").hidden = !answer.can_clean;
  told.classList.toggle("field-error", Boolean(answer.error));
  told.textContent = answer.error || answer.text;
});
// Switching the language keeps the page that is looked at.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-language]");
  if (!link) return;
  event.preventDefault();
  location.href = link.getAttribute("href") + location.hash;
});
