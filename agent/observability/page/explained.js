
const MAP_FRESH_S = 30;

// One class of one camera: the heat map, what it says in words and numbers, and its control.
class ClassRow {
  constructor(camera, name) {
    const of = {camera, name: term(name)};
    this.name = name;
    this.map = null;  // the heat map that is shown, and when its frame was grabbed
    this.asking = false;
    this.cam = new Picture(t("map_of", of));
    this.mean = new Picture(t("control_of", of));
    this.fruit = new Picture(t("fruit_of", of));
    this.whose = make("figcaption", {});
    this.own = new Chart(t("looks_at", of), -1);
    this.beside = new Chart(t("on_background"), 1);
    this.url = `api/v1/cam/${encodeURIComponent(camera)}/${encodeURIComponent(name)}`;
    this.frameUrl = frameUrl(camera);
    this.middle = make("span", {});
    this.legend = make("div", {class: "legend", role: "img", "aria-label": t("legend", of)},
      make("div", {class: "colours"}),
      make("div", {class: "ends"}, make("span", {}, t("against")), this.middle,
        make("span", {}, t("speaks_for"))));
    this.explained = make("figure", {class: "map"}, this.cam.node, this.legend,
      make("div", {class: "whose"}, this.fruit.node, this.whose));
    this.explained.hidden = true;
    this.shares = make("p", {class: "shares"});
    this.usual = make("p", {class: "usual", title: t("usual_means")});
    this.remarks = make("p", {class: "remarks"});
    this.control = make("p", {});
    this.numbers = make("p", {});
    this.reason = make("p", {lang: "en", translate: "no"});
    this.details = make("details", {class: "soft"}, make("summary", {}, t("details")),
      make("figure", {class: "control"}, this.mean.node), this.control, this.numbers, this.reason);
    this.mean.node.hidden = true;
    this.details.addEventListener("toggle", () => this.openDetails());
    this.node = make("div", {class: "class"}, this.explained,
      make("div", {class: "charts"}, make("h3", {}, t("decided", of)), this.shares, this.usual,
        this.remarks, this.own.node, this.beside.node, this.details));
  }
  // The map, its control and its fruit change together: all are of one frame. The control is asked
  // for only where it can be seen.
  async ask(map, part) {
    this.asking = true;
    const at = grabbed(map.age_s), of = "?frame=" + encodeURIComponent(map.frame_id);
    const [cam, fruit, mean] = await Promise.all([loaded(this.url + "/map" + of, this.cam.name),
      loaded(this.frameUrl + of, this.fruit.name), this.details.open ? this.loadControl(map) : null]);
    this.asking = false;
    if (!cam) return;  // there is a newer one already: the older one stays until it is asked for
    this.map = {...map, at};
    this.cam.put(cam, `${this.cam.name}: ${map.frame_id}`);
    this.showControl(mean);
    this.fruit.node.hidden = !fruit;
    if (fruit) this.fruit.put(fruit, `${this.fruit.name}: ${map.frame_id}`);
    this.explained.hidden = false;
    this.sayMap(this.map, part);
    this.sayWhose();
  }
  loadControl({frame_id}) {
    return loaded(`${this.url}/mean?frame=${encodeURIComponent(frame_id)}`, this.mean.name);
  }
  showControl(mean) {
    this.mean.node.hidden = !mean;
    if (mean) this.mean.put(mean, `${this.mean.name}: ${this.map.frame_id}`);
  }
  async openDetails() {
    if (!this.details.open || !this.map) return;
    const {map} = this, mean = await this.loadControl(map);
    if (this.map === map) this.showControl(mean);
  }
  // What the record of the map that is shown says. The share from elsewhere is its context reliance,
  // as alarms and charts have it; the rest is the class's own.
  sayMap(map, part) {
    const elsewhere = map.context_reliance, rounded = Math.round(100 * elsewhere) / 100;
    say(this.shares, !map.explainable ? t("cannot_explain") : !known(elsewhere) ? t("cannot_tell")
      : t("shares", {name: term(this.name), own: share(1 - rounded), other: share(rounded)}));
    say(this.remarks, [map.sampling_class === "uncertain" && t("unsure"),
      map.rung === "exact" ? "" : t("estimated")].filter(Boolean).join(" "));
    this.legend.hidden = !map.explainable;
    dress(this.legend, map.range_fixed ? "legend" : "legend own");
    say(this.middle, t(map.range_fixed ? "usual_marks" : "own_scale"));
    say(this.control, part && known(part.spot_error)
      ? t("control_differs", {error: part.spot_error.toExponential(0)}) : t("control"));
    const masses = Object.entries(map.relevance_mass).map(([name, x]) => `${term(name)} ${share(x)}`);
    say(this.numbers, [t("hidden", {own: share(map.sensitivity_foreground),
      other: share(map.sensitivity_background)}),
      masses.length && t("masses", {masses: masses.join(", ")}),
      known(map.value_range) && t("scale", {value: significant(map.value_range, 2)})]
      .filter(Boolean).join(" · "));
    say(this.reason, map.reason);
  }
  // Whether the share from elsewhere is usual on this line: the reference's range is of means over a
  // minute, so the newest minute is compared with it, not this one fruit.
  sayUsual(usual) {
    const {held, low, high, mean} = usual, between = {low: share(low), high: share(high), mean: share(mean)};
    const more = !held && known(mean) && mean > high;
    dress(this.usual, more ? "usual more" : "usual");
    say(this.usual, held === NO_REFERENCE ? t("no_reference")
      : held ? t("not_compared", {reason: Object.hasOwn(WORDS.terms, held) ? term(held) : t("does_not_fit")})
      : !known(mean) ? t("usual_only", between)
      : t(more ? "more_than_usual" : mean < low ? "less_than_usual" : "as_usual", between));
  }
  sayWhose() {
    if (!this.map) return;
    const age_s = since(this.map.at), same = this.map.frame_id === this.shownFruit;
    dress(this.explained, "map" + (same ? "" : " other") + (age_s > MAP_FRESH_S ? " aged" : ""));
    say(this.whose, same ? t("fruit_shown")
      : t("another_fruit", {age: age(age_s), id: this.map.frame_id}));
  }
  update(map, explanation, camera, shownFruit) {
    this.shownFruit = shownFruit;
    const part = explanation.classes.find((one) => one.class_name === this.name);
    if (map && map.frame_id !== this.map?.frame_id && !this.asking)
      this.ask(map, map.frame_id === explanation.frame_id ? part : null);
    this.sayWhose();
    const watched = this.name === "suture";  // the only class that alarms and references know
    if (watched) this.sayUsual(camera.usual);
    if (!part || !part.explainable) return;
    const history = part.history, judged = watched ? camera.levels : {};
    this.own.show(history.foreground, judged.foreground_insensitive);
    this.beside.show(history.reliance, judged.background_reliance, history.background);
  }
}
const NO_REFERENCE = "no reference is configured";
