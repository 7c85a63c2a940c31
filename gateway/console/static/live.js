// Keeps the parts of a page marked data-live fresh: on each committed change, and every data-refresh seconds.
(function () {
  "use strict";
  var QUIET = 1500;
  var lamp = document.getElementById("live");
  var timer = null;
  var busy = false;
  var again = false;

  function show(on) {
    if (!lamp) { return; }
    lamp.className = on ? "live on" : "live off";
    lamp.textContent = on ? lamp.dataset.on : lamp.dataset.off;
  }

  function isTyping(part) {
    return part.contains(document.activeElement) && /^(INPUT|SELECT)$/.test(document.activeElement.tagName);
  }

  function refresh() {
    if (busy) { again = true; return; }
    busy = true;
    fetch(location.href, { credentials: "same-origin", redirect: "manual" }).then(function (response) {
      if (response.type === "opaqueredirect") { location.href = "/login"; return ""; }
      return response.ok ? response.text() : "";
    }).then(function (text) {
      if (!text) { return; }
      var fresh = new DOMParser().parseFromString(text, "text/html");
      document.querySelectorAll("[data-live]").forEach(function (part) {
        var other = fresh.querySelector('[data-live="' + part.dataset.live + '"]');
        if (other && !isTyping(part)) { part.replaceWith(document.importNode(other, true)); }
      });
    }).catch(function () { /* the next event or the stream's own error tells */ }).then(function () {
      busy = false;
      if (again) { again = false; soon(); }
    });
  }

  function soon() {
    if (timer) { return; }
    timer = setTimeout(function () { timer = null; refresh(); }, QUIET);
  }

  if (!document.querySelector("[data-live]") || !window.EventSource) { return; }
  var events = new EventSource("/console/events");
  events.onopen = function () { show(true); };
  events.onerror = function () { show(false); };
  events.addEventListener("status", soon);
  events.addEventListener("resync", soon);
  // The days and durations move even when nothing changes.
  var seconds = 60;
  document.querySelectorAll("[data-refresh]").forEach(function (part) {
    seconds = Math.min(seconds, Number(part.dataset.refresh) || seconds);
  });
  setInterval(function () { if (!document.hidden) { refresh(); } }, seconds * 1000);
}());
