//! Who may do what: a pure decision, deny by default.

use eson_protocol::{Access, Name, Principal, Right};

use crate::Identity;

/// What a decision is made from.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'d> {
    /// The flow or namespace that is asked for.
    pub subject: &'d Name,
    /// The flow's access; none for a namespace.
    pub access: Option<Access>,
    /// Who owns it: the owners of the flow and those of every namespace it lies in.
    pub owners: &'d [Principal],
}

/// Whether `who` may use `right`.
///
/// `grants` are right, name of a flow or namespace, and to whom; they may have more than concern
/// the subject. A grant on a namespace covers every flow and namespace below it. Admin implies
/// Read and Write, and owners have all. A `public` flow may be read by everybody. Subscribers'
/// credentials and processors are no principals: they get nothing from here.
#[must_use]
pub fn may<'g>(
    who: &Identity,
    right: Right,
    decision: Decision<'_>,
    grants: impl IntoIterator<Item = (Right, &'g Name, &'g Principal)>,
) -> bool {
    let Some(who) = who.principal() else {
        return false;
    };
    is_owner(who, decision.owners)
        || (right == Right::Read && decision.access == Some(Access::Public))
        || grants.into_iter().any(|(granted, on, to)| {
            implies(granted, right) && decision.subject.is_within(on) && to.covers(who)
        })
}

/// Nobody owns a thing by coming without credentials, whatever the configuration says.
fn is_owner(who: &Principal, owners: &[Principal]) -> bool {
    *who != Principal::Anonymous && owners.iter().any(|owner| owner.covers(who))
}

fn implies(granted: Right, asked: Right) -> bool {
    granted == asked || granted == Right::Admin
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn as_principal(text: &str) -> Identity {
        Identity::Principal(text.parse().unwrap())
    }

    const ALL: [Right; 3] = [Right::Read, Right::Write, Right::Admin];

    /// The rights that `who` has on `time.flows.orange.example`.
    fn rights(who: &Identity, access: Access, grants: &[(Right, &str, &str)]) -> Vec<Right> {
        let subject = name("time.flows.orange.example");
        let owners = ["alice@orange.example".parse().unwrap()];
        let grants: Vec<_> = grants
            .iter()
            .map(|(right, on, to)| (*right, name(on), to.parse().unwrap()))
            .collect();
        let decision = Decision {
            subject: &subject,
            access: Some(access),
            owners: &owners,
        };
        let given = |right: &Right| {
            let grants = grants.iter().map(|(right, on, to)| (*right, on, to));
            may(who, *right, decision, grants)
        };
        ALL.into_iter().filter(given).collect()
    }

    #[test]
    fn denies_by_default() {
        for who in [
            "anonymous",
            "blue.example",
            "test@orange.example",
            "alice@blue.example",
        ] {
            let who = as_principal(who);
            assert_eq!(rights(&who, Access::Private, &[]), []);
            assert_eq!(rights(&who, Access::Approval, &[]), []);
            assert_eq!(rights(&who, Access::Public, &[]), [Right::Read]);
        }
    }

    #[test]
    fn gives_the_owner_everything() {
        let owner = as_principal("alice@orange.example");
        assert_eq!(rights(&owner, Access::Private, &[]), ALL);
    }

    #[test]
    fn gives_what_is_granted_to_whom_it_is_granted() {
        let grants = [(Right::Read, "time.flows.orange.example", "bob@blue.example")];
        let rights = |who| rights(&as_principal(who), Access::Private, &grants);
        assert_eq!(rights("bob@blue.example"), [Right::Read]);
        for other in [
            "anonymous",
            "blue.example",
            "bob@orange.example",
            "carol@blue.example",
        ] {
            assert_eq!(rights(other), [], "{other}");
        }
    }

    #[test]
    fn admin_implies_all() {
        let grants = [(Right::Admin, "time.flows.orange.example", "blue.example")];
        assert_eq!(
            rights(&as_principal("blue.example"), Access::Private, &grants),
            ALL
        );
    }

    #[test]
    fn a_namespace_covers_what_is_below_it_and_nothing_beside() {
        let bob = as_principal("bob@blue.example");
        let on = |namespace| {
            let grants = [(Right::Write, namespace, "*@blue.example")];
            rights(&bob, Access::Private, &grants)
        };
        assert_eq!(on("flows.orange.example"), [Right::Write]);
        assert_eq!(on("orange.example"), [Right::Write]);
        for other in [
            "lows.orange.example",
            "a.time.flows.orange.example",
            "flows.blue.example",
        ] {
            assert_eq!(on(other), [], "{other}");
        }
    }

    #[test]
    fn a_grant_to_anonymous_is_one_to_everybody() {
        let grants = [(Right::Read, "flows.orange.example", "anonymous")];
        for who in ["anonymous", "blue.example", "bob@blue.example"] {
            assert_eq!(
                rights(&as_principal(who), Access::Private, &grants),
                [Right::Read]
            );
        }
    }

    #[test]
    fn a_credential_is_nobody() {
        let grants = [(Right::Admin, "orange.example", "anonymous")];
        let subscriber = Identity::Subscriber {
            username: "alice@orange.example".to_owned(),
        };
        assert_eq!(rights(&subscriber, Access::Public, &grants), []);
    }

    #[test]
    fn nobody_owns_by_being_anonymous() {
        let subject = name("flows.orange.example");
        let owners = [Principal::Anonymous];
        let decision = Decision {
            subject: &subject,
            access: None,
            owners: &owners,
        };
        let anonymous = as_principal("anonymous");
        assert!(!may(&anonymous, Right::Admin, decision, []));
    }
}
