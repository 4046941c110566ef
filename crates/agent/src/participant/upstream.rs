//! What feeds a flow, here and elsewhere, so that events don't go round.

use std::collections::BTreeMap;

use eson_protocol::Name;

use super::Participant;
use crate::birth::Birth;
use crate::origin::{self, MAX_ORIGINS};
use crate::resource::Subscription;
use crate::store::StoreError;

/// The flows that events pass, from the first to the last.
pub(crate) type Route = Vec<Hop>;

/// A flow on a [`Route`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hop {
    /// A flow that this participant knows by name.
    Flow(Name),
    /// Flows of others, who have told of their origins and not of their names.
    Others,
}

/// What feeds which flow directly, by processors of this participant.
type Edges = BTreeMap<Name, Vec<Name>>;

/// The next flow on the way down from a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    /// The flow that it feeds.
    feeds: Name,
    /// The birth of the youngest subscription on all of the way. Of several ways that is kept on
    /// which this is oldest.
    youngest: Birth,
}

/// What feeds a flow.
#[derive(Default)]
struct Upstream {
    /// The flows that are known by name.
    fed: BTreeMap<Name, Step>,
    /// Those that other participants have told of, as salted hashes.
    origins: BTreeMap<String, Step>,
}

impl Participant {
    /// If events of `from` come, directly or over other flows, to `to`: the birth of the youngest
    /// subscription on the way, as far as it is known here.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn youngest_between(
        &self,
        from: &Name,
        to: &Name,
    ) -> Result<Option<Birth>, StoreError> {
        let upstream = self.upstream(std::slice::from_ref(to)).await?;
        Ok(upstream.youngest_since(from))
    }

    /// The way that events take from one of `from` to one of `to`, directly or over other flows;
    /// none where they take no way.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn route(
        &self,
        from: &[Name],
        to: &[Name],
    ) -> Result<Option<Route>, StoreError> {
        if let Some(both) = from.iter().find(|flow| to.contains(flow)) {
            return Ok(Some(vec![Hop::Flow(both.clone())]));
        }
        let upstream = self.upstream(to).await?;
        Ok(from.iter().find_map(|first| upstream.route_from(first)))
    }

    /// The flows that feed this one, as SUBSCRIBE's answer tells them: nobody learns a name that
    /// he does not know.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn origins(&self, flow: &Name) -> Result<Vec<String>, StoreError> {
        let upstream = self.upstream(std::slice::from_ref(flow)).await?;
        let own = upstream.fed.iter().map(|(name, step)| {
            let origin = origin::of(self.keys.origin_salt(name), name);
            origin::told(&origin, step.youngest)
        });
        let others = upstream.origins.iter();
        let others = others.map(|(origin, step)| origin::told(origin, step.youngest));
        Ok(own.chain(others).take(MAX_ORIGINS).collect())
    }

    async fn upstream(&self, flows: &[Name]) -> Result<Upstream, StoreError> {
        let edges = self.processor_edges().await?;
        let mut upstream = Upstream::default();
        let oldest = |flow: &Name| (flow.clone(), Birth::OLDEST);
        let mut open: Vec<_> = flows.iter().map(oldest).collect();
        while let Some((flow, youngest)) = open.pop() {
            for source in edges.get(&flow).into_iter().flatten() {
                let step = Step {
                    feeds: flow.clone(),
                    youngest,
                };
                open.extend(upstream.note(source, step));
            }
            if let Some(subscription) = self.subscriptions.get(flow.as_str()).await? {
                open.extend(upstream.subscribed(&subscription.resource, youngest));
            }
        }
        Ok(upstream)
    }

    async fn processor_edges(&self) -> Result<Edges, StoreError> {
        let mut edges = Edges::new();
        for processor in self.processors.list().await? {
            let spec = processor.resource.spec;
            for destination in spec.written() {
                edges
                    .entry(destination.clone())
                    .or_default()
                    .extend(spec.sources.iter().cloned());
            }
        }
        Ok(edges)
    }
}

impl Upstream {
    /// Notes a way; gives the flow, to look at what feeds it, where no way was known with as old a
    /// youngest subscription.
    fn note(&mut self, source: &Name, step: Step) -> Option<(Name, Birth)> {
        let youngest = step.youngest;
        is_older(&mut self.fed, source, step).then(|| (source.clone(), youngest))
    }

    /// Notes what a subscription brings on, with the birth of the youngest on the way from there.
    fn subscribed(
        &mut self,
        subscription: &Subscription,
        youngest: Birth,
    ) -> Option<(Name, Birth)> {
        let Subscription { spec, status } = subscription;
        let youngest = youngest.max(spec.born);
        for told in &status.origins {
            let (origin, birth) = origin::parts(told);
            let step = Step {
                feeds: spec.local.clone(),
                youngest: youngest.max(birth),
            };
            is_older(&mut self.origins, &origin.to_owned(), step);
        }
        let step = Step {
            feeds: spec.local.clone(),
            youngest,
        };
        self.note(&spec.remote, step)
    }

    /// If `flow` is upstream: the birth of the youngest subscription on the way from it.
    fn youngest_since(&self, flow: &Name) -> Option<Birth> {
        let by_name = self.fed.get(flow);
        let told = self.told_to_feed(flow);
        by_name
            .into_iter()
            .chain(told)
            .map(|step| step.youngest)
            .min()
    }

    /// The way from `first` down to the flows whose upstream this is.
    fn route_from(&self, first: &Name) -> Option<Route> {
        let mut route = vec![Hop::Flow(first.clone())];
        let mut next = self.fed.get(first).map(|step| &step.feeds);
        if next.is_none() {
            next = Some(&self.told_to_feed(first)?.feeds);
            route.push(Hop::Others);
        }
        while let Some(flow) = next {
            let hop = Hop::Flow(flow.clone());
            // The flows at which it ends may feed each other.
            if route.contains(&hop) {
                break;
            }
            route.push(hop);
            next = self.fed.get(flow).map(|step| &step.feeds);
        }
        Some(route)
    }

    fn told_to_feed(&self, flow: &Name) -> Option<&Step> {
        let mut origins = self.origins.iter();
        let found = origins.find(|(origin, _)| origin::is(origin, flow));
        found.map(|(_, step)| step)
    }
}

/// Keeps a step unless one with as old a youngest subscription is known.
fn is_older<K: Ord + Clone>(steps: &mut BTreeMap<K, Step>, key: &K, step: Step) -> bool {
    let known = steps.get(key);
    let is_older = known.is_none_or(|known| step.youngest < known.youngest);
    if is_older {
        steps.insert(key.clone(), step);
    }
    is_older
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).expect("a name")
    }

    fn birth(at: u64) -> Birth {
        Birth::new(at, [0; 4])
    }

    fn step(feeds: &str, youngest: u64) -> Step {
        Step {
            feeds: name(feeds),
            youngest: birth(youngest),
        }
    }

    fn upstream() -> Upstream {
        let fed = [("a.example", "b.example"), ("b.example", "c.example")];
        let salted = origin::of([7; 12], &name("far.example"));
        Upstream {
            fed: fed.map(|(from, to)| (name(from), step(to, 1))).into(),
            origins: [(salted, step("b.example", 2))].into(),
        }
    }

    fn hops(flows: &[&str]) -> Route {
        let hop = |flow: &&str| match *flow {
            "…" => Hop::Others,
            flow => Hop::Flow(name(flow)),
        };
        flows.iter().map(hop).collect()
    }

    #[test]
    fn a_route_names_every_flow_on_the_way() {
        let expected = hops(&["a.example", "b.example", "c.example"]);
        assert_eq!(upstream().route_from(&name("a.example")), Some(expected));
        assert_eq!(upstream().route_from(&name("d.example")), None);
    }

    #[test]
    fn of_two_ways_the_one_counts_that_was_closed_first() {
        let mut upstream = upstream();
        let looked_at = |upstream: &mut Upstream, youngest| {
            let looked_at = upstream.note(&name("a.example"), step("c.example", youngest));
            looked_at.is_some()
        };
        assert!(!looked_at(&mut upstream, 9));
        assert_eq!(upstream.youngest_since(&name("a.example")), Some(birth(1)));
        assert!(looked_at(&mut upstream, 0));
        assert_eq!(upstream.youngest_since(&name("a.example")), Some(birth(0)));
        let far = name("far.example");
        assert_eq!(upstream.youngest_since(&far), Some(birth(2)));
        assert_eq!(upstream.youngest_since(&name("d.example")), None);
    }

    #[test]
    fn what_others_have_told_of_is_on_the_way_without_a_name() {
        let expected = hops(&["far.example", "…", "b.example", "c.example"]);
        assert_eq!(upstream().route_from(&name("far.example")), Some(expected));
    }
}
