// What the server sends, as it happens: the same for the page of one camera and for the wall of several.

let heard = 0;  // when something came last, in milliseconds
let stream = null;
let page = null;  // what is told

// Calls `onInfo` with what runs, once a connection and when it changes, and `onUpdate` with what is new, indefinitely.
function follow(onInfo, onUpdate) {
  page = { onInfo, onUpdate };
  // A page that nobody sees asks for nothing. One that hears nothing starts afresh: also after a laptop slept.
  document.addEventListener("visibilitychange", () => (document.hidden ? leave() : listen()));
  setInterval(() => {
    if (document.hidden || Date.now() - heard < 6000) return;
    offline();
    leave();
    listen();
  }, 2000);
  listen();
}

function listen() {
  if (stream || document.hidden) return;
  stream = new EventSource("api/events");
  stream.addEventListener("info", (event) => { heard = Date.now(); page.onInfo(JSON.parse(event.data)); });
  stream.onmessage = (event) => { heard = Date.now(); page.onUpdate(JSON.parse(event.data)); };
  stream.onerror = () => offline();
  heard = Date.now();
}

function leave() {
  if (stream) stream.close();
  stream = null;
}

// Only touched when it changes: a screen reader says it again otherwise.
function showPill(state, text = state) {
  const pill = byId("state");
  if (pill.dataset.state === state) return;
  pill.dataset.state = state;
  byId("state-text").textContent = text;
}

async function offline() {
  showPill("offline", "no connection");
  byId("notice").textContent = "The run does not answer. It may have ended; this page goes on trying.";
  byId("notice").hidden = false;
  try {  // a run that began again with another token answers: it wants a login, which loading this page again brings
    if ((await fetch("api/info", { cache: "no-store" })).status === 401) location.reload();
  } catch (error) {
    // it does not answer
  }
}
