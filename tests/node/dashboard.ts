// The dashboards against Grafana's own types: the test puts each JSON file beside this one as a
// module. In JSON an enum of strings is its plain text, hence `Plain`.
import type { AnnotationQuery, Dashboard } from "@grafana/schema";

export type Plain<T> = T extends string
  ? `${T}`
  : T extends number | boolean | null | undefined
    ? T
    : T extends Array<infer Item>
      ? Plain<Item>[]
      : T extends object
        ? { [Key in keyof T]: Plain<T[Key]> }
        : T;

// What its Prometheus data source reads of an annotation beside what is common to all sources.
interface OfPrometheus {
  expr: string;
  step: string;
  titleFormat: string;
  textFormat: string;
  useValueForTime: boolean;
}

export type Checked = Plain<Omit<Dashboard, "annotations">> & {
  annotations: { list: (Plain<AnnotationQuery> & OfPrometheus)[] };
};
