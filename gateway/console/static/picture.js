// The live picture of a source's page: WHEP where the browser can, single pictures where it cannot; and the buttons
// that turn the camera. A held button repeats its command; whoever lets go or vanishes stops the camera.
(function () {
  "use strict";
  var box = document.getElementById("picture");
  if (!box) { return; }
  var STILL_EVERY = 3000;
  var REPEAT = 500;
  var source = box.dataset.source;
  var form = box.querySelector("form");
  var stage = box.querySelector(".stage");
  var video = box.querySelector("video");
  var image = box.querySelector("img");
  var stopButton = box.querySelector("[data-stop]");
  var word = box.querySelector("[role=status]");
  var peer = null;
  var view = "";
  var stills = null;

  function say(text) { word.textContent = text; }

  function post(path, fields) {
    fields.csrf = box.dataset.csrf;
    return fetch(path, { method: "POST", credentials: "same-origin", body: new URLSearchParams(fields) })
      .then(function (response) {
        return response.json().then(function (answer) {
          if (!response.ok) { throw new Error([answer.title, answer.detail].filter(Boolean).join(": ")); }
          return answer;
        });
      });
  }

  function purpose() { return form.elements.purpose.value.trim(); }

  function ask() { return post("/console/looks/" + source, { purpose: purpose() }); }

  function show(part) {
    stage.hidden = false;
    video.hidden = part !== video;
    image.hidden = part !== image;
    stopButton.hidden = false;
  }

  function end(text) {
    if (stills) { clearTimeout(stills); stills = null; }
    if (peer) { peer.close(); peer = null; }
    if (view) { fetch(view, { method: "DELETE", keepalive: true }); view = ""; }
    video.srcObject = null;
    if (image.src) { URL.revokeObjectURL(image.src); }
    image.removeAttribute("src");
    stage.hidden = true;
    stopButton.hidden = true;
    say(text);
  }

  function gathered(connection) {
    if (connection.iceGatheringState === "complete") { return Promise.resolve(); }
    return new Promise(function (resolve) {
      // Not for long: our own addresses are enough for the gateway, which tells us its own.
      setTimeout(resolve, 500);
      connection.addEventListener("icegatheringstatechange", function () {
        if (connection.iceGatheringState === "complete") { resolve(); }
      });
    });
  }

  function play(look) {
    if (!window.RTCPeerConnection) { return Promise.reject(new Error("no WebRTC")); }
    var connection = new RTCPeerConnection({ iceServers: [] });
    peer = connection;
    connection.addTransceiver("video", { direction: "recvonly" });
    connection.addEventListener("track", function (event) {
      video.srcObject = event.streams[0] || new MediaStream([event.track]);
    });
    connection.addEventListener("connectionstatechange", function () {
      if (peer === connection && /^(failed|disconnected|closed)$/.test(connection.connectionState)) {
        end(box.dataset.over);
      }
    });
    return connection.createOffer().then(function (offer) {
      return connection.setLocalDescription(offer);
    }).then(function () { return gathered(connection); }).then(function () {
      return fetch(look.whep, {
        method: "POST",
        headers: { "Authorization": "Bearer " + look.token, "Content-Type": "application/sdp" },
        body: connection.localDescription.sdp
      });
    }).then(function (response) {
      if (response.status !== 201) { throw new Error(String(response.status)); }
      view = response.headers.get("Location");
      return response.text();
    }).then(function (sdp) {
      return connection.setRemoteDescription({ type: "answer", sdp: sdp });
    }).then(function () {
      show(video);
      say(box.dataset.connecting);
    });
  }

  function still() {
    ask().then(function (look) {
      return fetch(look.snapshot, { headers: { "Authorization": "Bearer " + look.token } });
    }).then(function (response) {
      if (!response.ok) { throw new Error(String(response.status)); }
      return response.blob();
    }).then(function (blob) {
      var before = image.src;
      image.src = URL.createObjectURL(blob);
      if (before) { URL.revokeObjectURL(before); }
      show(image);
      say(box.dataset.still);
      stills = setTimeout(still, STILL_EVERY);
    }).catch(function (error) { end(box.dataset.failed + " (" + error.message + ")"); });
  }

  video.addEventListener("playing", function () { say(box.dataset.playing); });

  form.addEventListener("submit", function (event) {
    event.preventDefault();
    end(box.dataset.connecting);
    ask().then(function (look) {
      return play(look).catch(function () {
        if (peer) { peer.close(); peer = null; }
        still();
      });
    }).catch(function (error) { end(box.dataset.failed + " (" + error.message + ")"); });
    loadPresets();
  });
  stopButton.addEventListener("click", function () { end(""); });
  window.addEventListener("pagehide", function () { end(""); });

  // -- turning ---------------------------------------------------------------------------------

  var desk = box.querySelector(".ptz");
  var held = null;

  function turn(fields) {
    fields.purpose = purpose();
    return post("/console/ptz/" + source, fields).catch(function (error) { say(error.message); letGo(); });
  }

  function move(button) {
    var fields = { command: "move", seconds: "1.5" };
    ["pan", "tilt", "zoom"].forEach(function (axis) {
      if (button.dataset[axis]) { fields[axis] = button.dataset[axis]; }
    });
    return turn(fields);
  }

  function letGo() {
    if (held === null) { return; }
    clearInterval(held);
    held = null;
    turn({ command: "stop" });
  }

  function loadPresets() {
    if (!desk) { return; }
    fetch("/console/ptz/" + source, { credentials: "same-origin" }).then(function (response) {
      return response.ok ? response.json() : { presets: [] };
    }).then(function (answer) {
      var list = desk.querySelector("select");
      while (list.options.length > 1) { list.remove(1); }
      answer.presets.forEach(function (preset) { list.add(new Option(preset.name || preset.token, preset.token)); });
    });
  }

  if (!desk) { return; }
  desk.querySelectorAll("button").forEach(function (button) {
    if (button.dataset.command) {
      button.addEventListener("click", function () { turn({ command: button.dataset.command }); });
      return;
    }
    function begin(event) {
      event.preventDefault();
      if (held !== null) { return; }
      held = setInterval(function () { move(button); }, REPEAT);
      move(button);
    }
    button.addEventListener("pointerdown", begin);
    button.addEventListener("keydown", function (event) {
      if (event.key === " " || event.key === "Enter") { begin(event); }
    });
    ["pointerup", "pointerleave", "pointercancel", "keyup", "blur"].forEach(function (name) {
      button.addEventListener(name, letGo);
    });
  });
  window.addEventListener("blur", letGo);
  desk.querySelector("select").addEventListener("change", function (event) {
    if (event.target.value) { turn({ command: "go_to_preset", preset: event.target.value }); }
    event.target.value = "";
  });
}());
