// The place to drop pictures. What is dropped or chosen is handed to the (hidden) upload component behind it.
const zone = () => element.querySelector(".drop-zone");
const input = () => document.querySelector("#quick-upload input[type=file]");

function give(files) {
  const box = input();
  if (!box || !files.length) return;
  const transfer = new DataTransfer();
  for (const file of files) transfer.items.add(file);
  box.files = transfer.files;
  box.dispatchEvent(new Event("change", { bubbles: true }));
}

element.addEventListener("click", () => input()?.click());
for (const name of ["dragenter", "dragover"]) {
  element.addEventListener(name, (event) => {
    event.preventDefault();
    zone().classList.add("is-over");
  });
}
element.addEventListener("dragleave", () => zone().classList.remove("is-over"));
element.addEventListener("drop", async (event) => {
  event.preventDefault();
  zone().classList.remove("is-over");
  give(await dropped(event.dataTransfer));
});

// A dropped folder gives its files, not those of folders in it.
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = [...transfer.files];
  const folders = entries.filter((entry) => entry.isDirectory);
  if (!folders.length) return files;
  const inside = await Promise.all(folders.map(read));
  const plain = entries.filter((entry) => entry.isFile).map((entry) => new Promise((done, fail) => entry.file(done, fail)));
  return [...(await Promise.all(plain)), ...inside.flat()];
}

async function read(folder) {
  const reader = folder.createReader();
  const files = [];
  for (;;) {
    const batch = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!batch.length) return files;
    for (const entry of batch) if (entry.isFile) files.push(await new Promise((done, fail) => entry.file(done, fail)));
  }
}
