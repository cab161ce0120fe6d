// Buttons of a widget: data-action sends an 'action' event to Python with all data- values, data-copy copies a text,
// data-close closes the dialog it is in.
let last = { wish: "", time: 0 };
element.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button || button.disabled) return;
  if (button.dataset.copy !== undefined) {
    const label = button.textContent;
    await copy(button.dataset.copy);
    button.textContent = button.dataset.copied;
    setTimeout(() => (button.textContent = label), 1500);
    return;
  }
  if (button.dataset.confirm && !window.confirm(button.dataset.confirm)) return;
  if (button.dataset.close !== undefined) button.closest("dialog")?.close();
  if (button.dataset.goto) location.hash = button.dataset.goto;
  if (button.dataset.field) showField(button.dataset.field, 20);
  if (!button.dataset.action) return;
  // A second click within a second is a double click, not a second wish.
  const wish = JSON.stringify(button.dataset);
  if (wish === last.wish && Date.now() - last.time < 800) return;
  last = { wish, time: Date.now() };
  trigger("action", { ...button.dataset });
});

// The Expert page learns of its problems a moment after it is shown; its own button then goes to the field.
function showField(path, tries) {
  const entry = document.querySelector(`#view-expert [data-problem="${CSS.escape(path)}"]`);
  if (entry) entry.click();
  else if (tries) setTimeout(() => showField(path, tries - 1), 200);
}

async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  const area = Object.assign(document.createElement("textarea"), { value: text });
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

// A slider with data-action sends its value when it is let go.
element.addEventListener("change", (event) => {
  if (event.target.dataset.action) trigger("action", { ...event.target.dataset, value: event.target.value });
});
