// Asks again while pictures are still being looked through. Follows actions.js.
const asking = setInterval(() => {
  if (!element.isConnected) clearInterval(asking);
  else if (element.querySelector("[data-scanning]")) trigger("action", { action: "look" });
}, 1000);
