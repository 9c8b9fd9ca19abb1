
const FRUIT_FRESH_S = 10;  // an older reading says nothing of what lies under the camera
const frameUrl = (camera) => `api/v1/frame/${encodeURIComponent(camera)}.jpg`;
const fruitUrl = (camera, id, small) =>
  `${frameUrl(camera)}?frame=${encodeURIComponent(id)}${small ? "&small=1" : ""}`;
const MODEL_CAUSES = ["foreground_insensitive", "background_reliance"];
const MODEL_ALARMS = [...MODEL_CAUSES, "explanation_drift", "segmentation_degraded"];
const CAMERA_KIND = {live: "good", connecting: "warn", ended: "warn", "": "warn"};

class CameraCard {
  constructor(name) {
    this.name = name;
    this.rows = new Map();
    this.state = make("span", {class: "badge"});
    this.rings = make("span", {class: "badge"});
    this.cause = make("span", {class: "soft"});
    this.fruit = null;  // the reading that is shown, and when its frame was grabbed
    this.live = false;  // the picture is the camera's newest, without a reading
    this.asking = false;
    this.frame = new Picture(t("picture_of", {name}));
    this.frame.node.hidden = true;
    this.caption = make("figcaption", {class: "soft"});
    this.frame.act = () => opened === name || cards.size < 2 ? enlarge(this.frame) : openLane(name);
    this.angle = make("p", {class: "angle"}, "–");
    this.words = make("span", {});
    this.id = make("span", {class: "id"});
    this.more = make("span", {class: "more"});
    this.light = make("p", {class: "light"});
    this.which = make("span", {});
    this.legend = make("span", {class: "more"}, " · " + t("outlines"));
    this.values = {
      rate: new Value(t("fruit_a_minute")), read: new Value(t("read")), cups: new Value(t("empty_cups")),
      drops: new Value(t("frames_lost")),
      late: new Value(t("read_within")),
    };
    this.finer = {fps: new Value(t("frames_a_second"), "small"),
      half: new Value(t("half_within"), "small"), most: new Value(t("most_within"), "small")};
    this.when = make("span", {});
    this.how = make("p", {});
    this.source = make("p", {});
    const finer = Object.values(this.finer).map((value) => value.node);
    this.details = make("details", {}, make("summary", {}, t("details")), this.source, this.how,
      make("dl", {class: "numbers"}, ...finer));
    this.explained = make("div", {class: "explained"});
    this.past = new LanePast(name);
    const numbers = Object.values(this.values).map((value) => value.node);
    this.node = make("section", {class: "card", tabindex: "-1", "aria-label": t("camera", {name})},
      make("div", {class: "head"}, make("h2", {}, make("a", {href: "#" + encodeURIComponent(name)}, name)),
        this.state, this.rings, this.cause,
        actButton(t("do_explain"), "act explain", () => ({camera: name}))),
      make("figure", {class: "frame"}, this.frame.node, this.caption,
        make("div", {class: "soft how"}, this.when, this.details)),
      make("div", {class: "reading"}, this.angle,
        make("p", {class: "soft"}, this.words, this.id, this.more),
        make("dl", {class: "numbers"}, ...numbers), this.light),
      this.explained, this.past.node);
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
    say(this.light, t(ring || due ? "model_not_as_usual" : seen ? "model_as_usual" : "model_not_known"));
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
    say(this.state, camera.state ? term(camera.state) : t("camera_starting"));
    say(this.cause, camera.state === "live" ? "" : words(camera.cause));
    say(this.source, camera.source + (camera.width_px ? ` · ${camera.width_px}×${camera.height_px}` : ""));
    dress(this.caption, old ? "warn" : "soft");
    this.old = old ? t("old", {age: age(camera.frame_age_s)}) : "";
    this.followFruit(camera);
    this.updateNumbers(camera, view);
    const found = view.explanations.newest.find((one) => one.camera === camera.name);
    this.updateLight(camera, found, alarms);
    if (opened === this.name || cards.size < 2) {
      this.updateExplained(camera, found);
      this.past.update(view, alarms);
    }
  }
  // Picture and reading are of one fruit and change together. Without a fruit the picture is the
  // camera's newest, and there is no angle beside it.
  followFruit(camera) {
    const reading = camera.reading;
    const fresh = reading && (reading.age_s <= FRUIT_FRESH_S || this.old);
    const small = opened !== this.name && cards.size > 1;
    if (!this.asking && fresh && (this.live || reading.frame_id !== this.fruit?.frame_id ||
        this.small && !small))
      this.askFruit(reading, small);
    else if (!this.asking && !fresh && camera.frames_segmented !== this.shownFrames)
      this.askNewest(camera);
    this.showFruit();
  }
  async askFruit(reading, small) {
    this.asking = true;
    const at = grabbed(reading.age_s);
    const image = await loaded(fruitUrl(this.name, reading.frame_id, small), this.frame.name);
    this.asking = false;
    if (!image) return;  // it is gone by now: the older fruit stays, picture and angle
    this.fruit = {...reading, at};
    this.small = small;
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
    say(this.angle, read ? fixed(fruit.angle_deg, 1, "°") : fruit && !this.live ? t("no_read") : "–");
    const like = fruit && known(fruit.plausibility) ? `${t("like_a_fruit", {share: share(fruit.plausibility)})} · ` : "";
    say(this.words, !fruit ? t("no_fruit_yet") : this.live ? t("no_fruit_for", {age: age(age_s)})
      : read ? t("sure", {share: share(fruit.confidence)}) : words(fruit.reason));
    say(this.more, !fruit ? "" : this.live ? t("the_last",
      {what: fruit.read ? fixed(fruit.angle_deg, 1, "°") : words(fruit.reason)})
      : like + t("ago", {age: age(age_s)}));
    say(this.id, fruit?.fruit_id && !this.live ? " · " + t("fruit_id", {id: fruit.fruit_id}) : "");
    const which = fruit && !this.live ? fruit.frame_id : t("camera_now");
    const none = this.frame.node.hidden;
    say(this.which, none ? t("no_picture_yet") : this.old || which);
    this.legend.hidden = Boolean(none || this.old);
  }
  updateNumbers(camera, view) {
    const active = (cause) => view.alarms.some((a) => a.active && causeOf(a) === cause &&
      a.camera_id === camera.name);
    const beyond = (cause) => active(cause) ? "warn" : over(camera.levels[cause]) ? "due" : "";
    const unread = camera.levels.no_read_rate, slow = camera.levels.latency_budget;
    const late = camera.capture_to_mask;
    const {rate, read, cups, drops, late: p95} = this.values, {fps, half, most} = this.finer;
    rate.show(fixed(camera.fruit_per_minute, 0));
    read.show(unread && known(unread.value) ? share(1 - unread.value) : "–",
      beyond("no_read_rate"),
      t("not_read_since_start", {counts: counts(camera.no_reads) || t("none")}), unread);
    cups.show(total(camera.cups_empty), "",
      t("cups_of", {cups: total(camera.cups_empty + camera.fruit)}));
    drops.show(total(camera.frames_dropped), "", counts(camera.drops) || t("none"));
    p95.show(lasting(slow?.value), beyond("latency_budget"), t("from_grab_to_reading"), slow);
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
      this.rows.get(name).update(maps.get(name), found, camera,
        this.live ? null : this.fruit?.frame_id);
    }
    say(this.when, found ? t("explained", {age: age(found.age_s)}) : t("not_explained"));
    say(this.how, found ? t("explained_how", {time: lasting(found.seconds), rung: term(found.rung),
      class: term(found.sampling_class), layer: found.layer}) + " · " + t("zones") : "");
  }
}
