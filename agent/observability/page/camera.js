
const FRUIT_FRESH_S = 10;  // an older reading says nothing of what lies under the camera
const MAP_FRESH_S = 30;
const frameUrl = (camera) => `api/v1/frame/${encodeURIComponent(camera)}.jpg`;
const MODEL_CAUSES = ["foreground_insensitive", "background_reliance"];
const MODEL_ALARMS = [...MODEL_CAUSES, "explanation_drift", "segmentation_degraded"];
const CAMERA_KIND = {live: "good", connecting: "warn", ended: "warn", "": "warn"};

// One class of one camera: the heat map, what it says in numbers, and its control.
class ClassRow {
  constructor(camera, name) {
    this.name = name;
    this.map = null;  // the heat map that is shown, and when its frame was grabbed
    this.asking = false;
    this.cam = new Picture(`Ablation-CAM of ${camera}, ${name}`);
    this.mean = new Picture(`Mean of all activation maps of ${camera}, the control of ${name}`);
    this.fruit = new Picture(`Fruit on ${camera} that the map of ${name} explains`);
    this.whose = make("figcaption", {});
    this.own = new Chart(`looks at the ${name}`, -1);
    this.beside = new Chart("on the background", 1);
    this.scale = make("span", {class: "scale"});
    this.control = make("figcaption", {}, "control: mean of all maps");
    this.url = `api/v1/cam/${encodeURIComponent(camera)}/${encodeURIComponent(name)}`;
    this.frameUrl = frameUrl(camera);
    this.explained = make("figure", {class: "map"}, this.cam.node,
      make("div", {class: "whose"}, this.fruit.node, this.whose));
    this.explained.hidden = true;
    this.node = make("div", {class: "class"}, this.explained,
      make("div", {class: "charts"}, make("h3", {}, name), this.own.node, this.beside.node),
      make("figure", {class: "control"}, this.mean.node, this.control), this.scale);
  }
  // The map, its control and its fruit change together: all are of one frame.
  async ask(map, part) {
    this.asking = true;
    const at = grabbed(map.age_s), of = "?frame=" + encodeURIComponent(map.frame_id);
    const [cam, mean, fruit] = await Promise.all([loaded(this.url + of, this.cam.name),
      loaded(this.url + "/mean" + of, this.mean.name), loaded(this.frameUrl + of, this.fruit.name)]);
    this.asking = false;
    if (!cam) return;  // there is a newer one already: the older one stays until it is asked for
    this.map = {...map, at};
    this.cam.put(cam, `${this.cam.name}: ${map.frame_id}`);
    this.mean.node.hidden = !mean;
    if (mean) this.mean.put(mean, `${this.mean.name}: ${map.frame_id}`);
    this.fruit.node.hidden = !fruit;
    if (fruit) this.fruit.put(fruit, `${this.fruit.name}: ${map.frame_id}`);
    this.explained.hidden = false;
    say(this.scale, known(map.value_range)
      ? `orange for, blue against; full colour is ±${map.value_range.toPrecision(2)}, always` : "");
    const check = part && known(part.spot_error)
      ? `; re-run differs by ${part.spot_error.toExponential(0)}` : "";
    say(this.control, "control: mean of all maps" + check);
    this.sayWhose();
  }
  sayWhose() {
    if (!this.map) return;
    const age_s = since(this.map.at), same = this.map.frame_id === this.shownFruit;
    dress(this.explained, "map" + (same ? "" : " other") + (age_s > MAP_FRESH_S ? " aged" : ""));
    say(this.whose, same ? "the fruit shown" : `another fruit, ${age(age_s)} ago: ${this.map.frame_id}`);
  }
  update(map, explanation, levels, shownFruit) {
    this.shownFruit = shownFruit;
    const part = explanation.classes.find((one) => one.class_name === this.name);
    if (map && map.frame_id !== this.map?.frame_id && !this.asking)
      this.ask(map, map.frame_id === explanation.frame_id ? part : null);
    this.sayWhose();
    if (!part || !part.explainable) return;
    const history = part.history, judged = this.name === "suture" ? levels : {};
    this.own.show(history.foreground, judged.foreground_insensitive);
    this.beside.show(history.reliance, judged.background_reliance, history.background);
  }
}

class CameraCard {
  constructor(name) {
    this.name = name;
    this.rows = new Map();
    this.state = make("span", {class: "badge"});
    this.rings = make("span", {class: "badge"});
    this.source = make("span", {class: "soft"});
    this.fruit = null;  // the reading that is shown, and when its frame was grabbed
    this.live = false;  // the picture is the camera's newest, without a reading
    this.asking = false;
    this.frame = new Picture(`Picture of ${name}`);
    this.frame.node.hidden = true;
    this.caption = make("figcaption", {class: "soft"});
    this.frame.act = () => opened === name || cards.size < 2 ? enlarge(this.frame) : openLane(name);
    this.angle = make("p", {class: "angle"}, "–");
    this.words = make("span", {});
    this.more = make("span", {class: "more"});
    this.light = make("p", {class: "light"});
    this.which = make("span", {});
    this.legend = make("span", {class: "more"}, " · orange: suture, blue: stem, white: line");
    this.values = {
      rate: new Value("fruit a minute"), read: new Value("read"), drops: new Value("frames lost"),
      late: new Value("95 % read within"), fps: new Value("frames a second", "small"),
      half: new Value("half within, last minute", "small"),
      most: new Value("99 % within, last minute", "small"),
    };
    this.when = make("p", {class: "soft"});
    this.explained = make("div", {class: "explained"});
    const numbers = Object.values(this.values).map((value) => value.node);
    this.node = make("section", {class: "card", tabindex: "-1", "aria-label": `Camera ${name}`},
      make("div", {class: "head"}, make("h2", {}, make("a", {href: "#" + encodeURIComponent(name)}, name)),
        this.state, this.rings, this.source),
      make("figure", {class: "frame"}, this.frame.node, this.caption, this.when),
      make("div", {class: "reading"}, this.angle, make("p", {class: "soft"}, this.words, this.more),
        make("dl", {class: "numbers"}, ...numbers), this.light),
      this.explained);
    this.values.read.node.className = "kept";
    this.caption.append(this.which, this.legend);
    this.node.addEventListener("click", (event) => {
      if (document.body.classList.contains("grid") && !event.target.closest("a, button")) openLane(name);
    });
  }
  // How much this lane wants a look, compared with the others.
  weight(camera, alarms) {
    return (alarms[0]?.severity ?? 0) + (CAMERA_KIND[camera.state] ? 0 : 100) +
      (Object.values(camera.levels).some(over) ? 10 : 0);
  }
  // Whether the model still decides as it did: by its alarms, and by what they compare.
  updateLight(camera, explanation, alarms) {
    const judged = MODEL_CAUSES.map((cause) => camera.levels[cause]).filter((one) => one?.judged);
    const ring = alarms.find((a) => MODEL_ALARMS.includes(causeOf(a)));
    const due = ring || judged.some(over), seen = explanation && judged.length;
    dress(this.light, `light ${ring ? "bad" : due ? "warn" : seen ? "good" : ""}`);
    say(this.light, ring || due ? "model: not as usual" : seen ? "model: as usual" : "model: not known yet");
  }
  update(camera, view, alarms) {
    const kind = CAMERA_KIND[camera.state] || "bad";
    const old = kind === "bad";  // an old picture must never look like the newest
    const ring = alarms.length ? ` rings ${alarms[0].priority}` : "";
    dress(this.node, (old ? "card old" : "card") + ring);
    this.rings.hidden = !alarms.length;
    if (alarms.length) {
      dress(this.rings, `badge rings ${alarms[0].priority}`);
      say(this.rings, alarms.map((a) => a.title).join(", "));
    }
    dress(this.state, "badge " + kind);
    say(this.state, camera.state || "starting");
    say(this.source, [camera.state === "live" ? "" : words(camera.cause), camera.source,
      camera.width_px ? `${camera.width_px}×${camera.height_px}` : ""].filter(Boolean).join(" · "));
    dress(this.caption, old ? "warn" : "soft");
    this.old = old ? `OLD: grabbed ${age(camera.frame_age_s)} ago` : "";
    this.followFruit(camera);
    this.updateNumbers(camera, view);
    const found = view.explanations.newest.find((one) => one.camera === camera.name);
    this.updateLight(camera, found, alarms);
    if (opened === this.name || cards.size < 2) this.updateExplained(camera, found);
  }
  // Picture and reading are of one fruit and change together. Without a fruit the picture is the
  // camera's newest, and there is no angle beside it.
  followFruit(camera) {
    const reading = camera.reading;
    const fresh = reading && (reading.age_s <= FRUIT_FRESH_S || this.old);
    if (!this.asking && fresh && (this.live || reading.frame_id !== this.fruit?.frame_id))
      this.askFruit(reading);
    else if (!this.asking && !fresh && camera.frames_segmented !== this.shownFrames)
      this.askNewest(camera);
    this.showFruit();
  }
  async askFruit(reading) {
    this.asking = true;
    const at = grabbed(reading.age_s);
    const of = "?frame=" + encodeURIComponent(reading.frame_id);
    const image = await loaded(frameUrl(this.name) + of, this.frame.name);
    this.asking = false;
    if (!image) return;  // it is gone by now: the older fruit stays, picture and angle
    this.fruit = {...reading, at};
    this.live = false;
    this.put(image, reading.frame_id);
  }
  async askNewest(camera) {
    this.asking = true;
    const image = await loaded(`${frameUrl(this.name)}?v=${camera.frames_segmented}`, this.frame.name);
    this.asking = false;
    if (!image) return;
    this.shownFrames = camera.frames_segmented;
    this.fruit = camera.reading ? {...camera.reading, at: grabbed(camera.reading.age_s)} : null;
    this.live = true;
    this.put(image, "newest");
  }
  put(image, of) {
    this.frame.put(image, `${this.frame.name}: ${of}`);
    this.frame.node.hidden = false;
    set(this.node, "data-frame", of);
    this.showFruit();
  }
  showFruit() {
    const fruit = this.fruit, read = fruit && fruit.read && !this.live;
    const age_s = fruit ? since(fruit.at) : 0;
    dress(this.angle, fruit && !fruit.read && !this.live ? "angle none" : "angle");
    say(this.angle, read ? fixed(fruit.angle_deg, 1, "°") : fruit && !this.live ? "no read" : "–");
    const like = fruit && known(fruit.plausibility) ? ` · ${share(fruit.plausibility)} like a fruit` : "";
    say(this.words, !fruit ? "no fruit yet" : this.live ? `no fruit for ${age(age_s)}`
      : read ? `${share(fruit.confidence)} sure` : words(fruit.reason));
    say(this.more, !fruit ? "" : this.live ? "; the last: " +
      (fruit.read ? fixed(fruit.angle_deg, 1, "°") : words(fruit.reason)) : `${like} · ${age(age_s)} ago`);
    const which = fruit && !this.live ? (fruit.fruit_id ? `fruit ${fruit.fruit_id}, ` : "") +
      fruit.frame_id : "the camera now, no fruit";
    const none = this.frame.node.hidden;
    say(this.which, none ? "no picture yet" : this.old || which);
    this.legend.hidden = Boolean(none || this.old);
  }
  updateNumbers(camera, view) {
    const active = (cause) => view.alarms.some((a) => a.active && causeOf(a) === cause &&
      a.camera_id === camera.name);
    const beyond = (cause) => active(cause) ? "warn" : over(camera.levels[cause]) ? "due" : "";
    const unread = camera.levels.no_read_rate, slow = camera.levels.latency_budget;
    const late = camera.capture_to_mask, newest = (level) => level ? `, last ${level.window}` : "";
    const {rate, read, drops, fps, late: p95, half, most} = this.values;
    rate.show(fixed(camera.fruit_per_minute, 0));
    read.show(unread && known(unread.value) ? share(1 - unread.value) : "–",
      beyond("no_read_rate"),
      "not read since the start: " + (counts(camera.no_reads) || "none"), newest(unread));
    drops.show(total(camera.frames_dropped), "", counts(camera.drops) || "none");
    p95.show(lasting(slow?.value), beyond("latency_budget"), "from grab to reading", newest(slow));
    fps.show(fixed(camera.fps, 1));
    half.show(lasting(late.p50_s));
    most.show(lasting(late.p99_s));
  }
  updateExplained(camera, found) {
    const maps = new Map(found ? found.maps.map((map) => [map.class_name, map]) : []);
    const parts = found ? found.classes.filter((part) => part.explainable) : [];
    for (const name of new Set([...parts.map((part) => part.class_name), ...maps.keys()])) {
      if (!this.rows.has(name)) {
        const row = new ClassRow(this.name, name);
        this.rows.set(name, row);
        this.explained.append(row.node);
      }
      this.rows.get(name).update(maps.get(name), found, camera.levels,
        this.live ? null : this.fruit?.frame_id);
    }
    say(this.when, found ? `explained ${age(found.age_s)} ago in ${found.seconds.toFixed(2)} s · ` +
      `${found.rung}, ${found.sampling_class} · ${found.layer} · red zone: alarm; blue line: sensitivity`
      + " to the background" : "not explained yet");
  }
}
