
const MAP_FRESH_S = 30;

// One class of one camera: the heat map, what it says in numbers, and its control.
class ClassRow {
  constructor(camera, name) {
    this.name = name;
    this.map = null;  // the heat map that is shown, and when its frame was grabbed
    this.asking = false;
    this.cam = new Picture(t("map_of", {camera, name: term(name)}));
    this.mean = new Picture(t("control_of", {camera, name: term(name)}));
    this.fruit = new Picture(t("fruit_of", {camera, name: term(name)}));
    this.whose = make("figcaption", {});
    this.own = new Chart(t("looks_at", {name: term(name)}), -1);
    this.beside = new Chart(t("on_background"), 1);
    this.scale = make("span", {class: "scale"});
    this.control = make("figcaption", {}, t("control"));
    this.url = `api/v1/cam/${encodeURIComponent(camera)}/${encodeURIComponent(name)}`;
    this.frameUrl = frameUrl(camera);
    this.explained = make("figure", {class: "map"}, this.cam.node,
      make("div", {class: "whose"}, this.fruit.node, this.whose));
    this.explained.hidden = true;
    this.node = make("div", {class: "class"}, this.explained,
      make("div", {class: "charts"}, make("h3", {}, term(name)), this.own.node, this.beside.node),
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
      ? t("scale", {value: significant(map.value_range, 2)}) : "");
    say(this.control, part && known(part.spot_error)
      ? t("control_differs", {error: part.spot_error.toExponential(0)}) : t("control"));
    this.sayWhose();
  }
  sayWhose() {
    if (!this.map) return;
    const age_s = since(this.map.at), same = this.map.frame_id === this.shownFruit;
    dress(this.explained, "map" + (same ? "" : " other") + (age_s > MAP_FRESH_S ? " aged" : ""));
    say(this.whose, same ? t("fruit_shown")
      : t("another_fruit", {age: age(age_s), id: this.map.frame_id}));
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
