
const CAMERA_KIND = {live: "good", connecting: "warn", ended: "warn", "": "warn"};

// One class of one camera: the heat map, what it says in numbers, and its control.
class ClassRow {
  constructor(camera, name) {
    this.cam = new Picture(`Ablation-CAM of ${camera}, ${name}`);
    this.mean = new Picture(`Mean of all activation maps of ${camera}, the control of ${name}`);
    this.own = new Chart(`looks at the ${name}`, -1);
    this.beside = new Chart("on the background", 1);
    this.scale = make("span", {class: "scale"});
    this.control = make("figcaption", {}, "control: mean of all maps");
    this.url = `api/v1/cam/${encodeURIComponent(camera)}/${encodeURIComponent(name)}`;
    this.node = make("div", {class: "class"}, this.cam.node,
      make("div", {class: "charts"}, make("h3", {}, name), this.own.node, this.beside.node),
      make("figure", {class: "control"}, this.mean.node, this.control), this.scale);
  }
  update(part, explanation, limits, suture) {
    this.cam.show(this.url, explanation.frame_id);
    this.mean.show(this.url + "/mean", explanation.frame_id);
    const history = part.history;
    this.own.show(history.foreground, suture ? limits.foreground_sensitivity : null);
    this.beside.show(history.reliance, suture ? limits.background_reliance : null,
      history.background);
    say(this.scale, known(part.value_range)
      ? `orange for, blue against; full colour is ±${part.value_range.toPrecision(2)}, always` : "");
    const check = known(part.spot_error) ? `; re-run differs by ${part.spot_error.toExponential(0)}` : "";
    say(this.control, "control: mean of all maps" + check);
  }
}

class CameraCard {
  constructor(name) {
    this.name = name;
    this.rows = new Map();
    this.state = make("span", {class: "badge"});
    this.source = make("span", {class: "soft"});
    this.frame = new Picture(`Newest frame of ${name}`);
    this.caption = make("figcaption", {class: "soft"});
    this.angle = make("p", {class: "angle"}, "–");
    this.words = make("p", {class: "soft"});
    this.values = {
      rate: new Value("fruit a minute"), read: new Value("read"), drops: new Value("frames lost"),
      late: new Value("95 % read within"), fps: new Value("frames a second", "small"),
      half: new Value("half within", "small"), most: new Value("99 % within", "small"),
    };
    this.when = make("p", {class: "soft"});
    this.explained = make("div", {class: "explained"});
    const numbers = Object.values(this.values).map((value) => value.node);
    this.node = make("section", {class: "card", tabindex: "-1", "aria-label": `Camera ${name}`},
      make("div", {class: "head"}, make("h2", {}, name), this.state, this.source),
      make("figure", {class: "frame"}, this.frame.node, this.caption, this.when),
      make("div", {class: "reading"}, this.angle, this.words,
        make("dl", {class: "numbers"}, ...numbers)),
      this.explained);
  }
  update(camera, view) {
    const kind = CAMERA_KIND[camera.state] || "bad";
    const old = kind === "bad";  // an old picture must never look like the newest
    dress(this.node, old ? "card old" : "card");
    dress(this.state, "badge " + kind);
    say(this.state, camera.state || "starting");
    say(this.source, [camera.state === "live" ? "" : words(camera.cause), camera.source,
      camera.width_px ? `${camera.width_px}×${camera.height_px}` : ""].filter(Boolean).join(" · "));
    this.frame.node.hidden = !camera.frames_segmented;
    if (camera.frames_segmented)
      this.frame.show(`api/v1/frame/${encodeURIComponent(this.name)}.jpg`, camera.frames_segmented);
    dress(this.caption, old ? "warn" : "soft");
    say(this.caption, !camera.frames_segmented ? "no picture yet"
      : old ? `OLD: grabbed ${age(camera.frame_age_s)} ago`
        : "orange: suture, blue: stem, white: line");
    this.updateReading(camera.reading);
    this.updateNumbers(camera, view.limits);
    this.updateExplained(camera, view);
  }
  updateReading(reading) {
    const read = reading && reading.read;
    dress(this.angle, reading && !read ? "angle none" : "angle");
    say(this.angle, read ? fixed(reading.angle_deg, 1, "°") : reading ? "no read" : "–");
    const like = reading && known(reading.plausibility)
      ? ` · ${share(reading.plausibility)} like a fruit` : "";
    say(this.words, read ? `${share(reading.confidence)} sure${like} · ${age(reading.age_s)} ago`
      : reading ? `${words(reading.reason)}${like} · ${age(reading.age_s)} ago` : "no fruit yet");
  }
  updateNumbers(camera, limits) {
    const unread = camera.fruit ? camera.fruit_no_read / camera.fruit : null;
    const late = camera.capture_to_mask;
    const {rate, read, drops, fps, late: p95, half, most} = this.values;
    rate.show(fixed(camera.fruit_per_minute, 0));
    read.show(known(unread) ? share(1 - unread) : "–", known(unread) && unread > limits.no_read_rate,
      "not read: " + (counts(camera.no_reads) || "none"));
    drops.show(total(camera.frames_dropped), false, counts(camera.drops) || "none");
    p95.show(lasting(late.p95_s), known(late.p95_s) && late.p95_s > limits.latency_p95_s,
      "from grab to reading, last minute");
    fps.show(fixed(camera.fps, 1));
    half.show(lasting(late.p50_s));
    most.show(lasting(late.p99_s));
  }
  updateExplained(camera, view) {
    const found = view.explanations.newest.find((one) => one.camera === camera.name);
    const parts = found ? found.classes.filter((part) => part.explainable) : [];
    for (const part of parts) {
      if (!this.rows.has(part.class_name)) {
        const row = new ClassRow(this.name, part.class_name);
        this.rows.set(part.class_name, row);
        this.explained.append(row.node);
      }
      this.rows.get(part.class_name).update(part, found, view.limits, part.class_name === "suture");
    }
    say(this.when, found ? `explained ${age(found.age_s)} ago in ${found.seconds.toFixed(2)} s · ` +
      `${found.rung}, ${found.sampling_class} · ${found.layer} · red zone: alarm; blue line: sensitivity`
      + " to the background" : "not explained yet");
  }
}
