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
// Switching the language keeps the page that is looked at.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-language]");
  if (!link) return;
  event.preventDefault();
  location.href = link.getAttribute("href") + location.hash;
});
