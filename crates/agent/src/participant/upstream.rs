//! What feeds a flow, here and elsewhere, so that events don't go round.

use std::collections::{BTreeMap, BTreeSet};

use eson_protocol::Name;

use super::Participant;
use crate::origin::{self, MAX_ORIGINS};
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

/// What feeds a flow.
#[derive(Default)]
struct Upstream {
    /// The flows that are known by name, each with the flow that it feeds on its way.
    fed: BTreeMap<Name, Name>,
    /// Those that other participants have told of, as salted hashes, with the flow that each
    /// feeds.
    origins: BTreeMap<String, Name>,
}

impl Participant {
    /// Whether events of `from` come, directly or over other flows, to `to`.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn feeds(&self, from: &Name, to: &Name) -> Result<bool, StoreError> {
        let (from, to) = (std::slice::from_ref(from), std::slice::from_ref(to));
        Ok(self.route(from, to).await?.is_some())
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
        let names: BTreeSet<_> = upstream.fed.keys().collect();
        let own = names
            .into_iter()
            .map(|name| origin::of(self.keys.origin_salt(name), name));
        let told = upstream.origins.into_keys();
        Ok(own.chain(told).take(MAX_ORIGINS).collect())
    }

    async fn upstream(&self, flows: &[Name]) -> Result<Upstream, StoreError> {
        let edges = self.processor_edges().await?;
        let mut upstream = Upstream::default();
        let mut open = flows.to_vec();
        while let Some(flow) = open.pop() {
            let sources = self.direct_sources(&flow, &edges, &mut upstream).await?;
            for source in sources {
                if !upstream.fed.contains_key(&source) {
                    upstream.fed.insert(source.clone(), flow.clone());
                    open.push(source);
                }
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

    /// What feeds a flow directly; what a subscription's publisher has told is noted.
    async fn direct_sources(
        &self,
        flow: &Name,
        edges: &Edges,
        upstream: &mut Upstream,
    ) -> Result<Vec<Name>, StoreError> {
        let mut sources = edges.get(flow).cloned().unwrap_or_default();
        if let Some(subscription) = self.subscriptions.get(flow.as_str()).await? {
            for origin in subscription.resource.status.origins {
                upstream.origins.insert(origin, flow.clone());
            }
            sources.push(subscription.resource.spec.remote);
        }
        Ok(sources)
    }
}

impl Upstream {
    /// The way from `first` down to the flows whose upstream this is.
    fn route_from(&self, first: &Name) -> Option<Route> {
        let mut route = vec![Hop::Flow(first.clone())];
        let mut next = self.fed.get(first);
        if next.is_none() {
            next = Some(self.told_to_feed(first)?);
            route.push(Hop::Others);
        }
        while let Some(flow) = next {
            let hop = Hop::Flow(flow.clone());
            // The flows at which it ends may feed each other.
            if route.contains(&hop) {
                break;
            }
            route.push(hop);
            next = self.fed.get(flow);
        }
        Some(route)
    }

    fn told_to_feed(&self, flow: &Name) -> Option<&Name> {
        let mut origins = self.origins.iter();
        let found = origins.find(|(told, _)| origin::contains(std::slice::from_ref(told), flow));
        found.map(|(_, feeds)| feeds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).expect("a name")
    }

    fn upstream() -> Upstream {
        let fed = [("a.example", "b.example"), ("b.example", "c.example")];
        let salted = origin::of([7; 12], &name("far.example"));
        Upstream {
            fed: fed.map(|(from, to)| (name(from), name(to))).into(),
            origins: [(salted, name("b.example"))].into(),
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
    fn what_others_have_told_of_is_on_the_way_without_a_name() {
        let expected = hops(&["far.example", "…", "b.example", "c.example"]);
        assert_eq!(upstream().route_from(&name("far.example")), Some(expected));
    }
}
