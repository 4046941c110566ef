use std::collections::BTreeSet;

use eson_protocol::Principal;
use tempfile::TempDir;

use super::*;

const EXAMPLES: [&str; 4] = [
    "orange.yaml",
    "blue.yaml",
    "kafka/orange.yaml",
    "kafka/blue.yaml",
];

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(name)
}

/// Everything that can be said, so that every key is met by the tests.
const EVERYTHING: &str = include_str!("everything.yaml");

fn load(text: &str) -> Result<Config, ConfigError> {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("fnaad.yaml");
    std::fs::write(&file, text).unwrap();
    Config::load(&file, None)
}

fn problems(text: &str) -> Vec<String> {
    match load(text) {
        Err(ConfigError::Invalid { problems, .. }) => texts(&problems),
        other => panic!("{other:?}"),
    }
}

fn texts(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn the_examples_are_what_the_tour_says() {
    for (name, fqdn, port) in [
        ("orange.yaml", "fnaa.orange.example", 61000),
        ("blue.yaml", "fnaa.blue.example", 51000),
        ("kafka/orange.yaml", "fnaa.orange.example", 61000),
        ("kafka/blue.yaml", "fnaa.blue.example", 51000),
    ] {
        let config = Config::load(&example(name), None).unwrap();
        assert_eq!(config.fqdn.as_str(), fqdn);
        assert_eq!(config.listen[0].address, ([127, 0, 0, 1], port).into());
        assert!(config.listen[0].plaintext_auth);
        let [user] = &config.users[..] else {
            panic!("{name} has one user");
        };
        assert!(user.verifier.verifies("test"));
        let owner = Principal::parse(&format!("test@{}", config.domain)).unwrap();
        assert_eq!(config.namespaces[0].owners, [owner]);
    }
}

#[test]
fn everything_can_be_said() {
    let config = load(EVERYTHING).unwrap();
    assert_eq!(config.listen[0].advertised_port, 443);
    assert_eq!(config.limits.event, 4 << 20);
    assert_eq!(config.subscriptions.lapse_keep.as_secs(), 86_400);
    assert_eq!(config.subscriptions.position_keep.as_secs(), 30 * 86_400);
    assert_eq!(config.processor.memory_limit, Some(64 << 20));
    assert_eq!(config.processor.threads, Some(2));
    let request_timeout = config.processor.request_timeout;
    assert_eq!(request_timeout.map(|time| time.as_secs()), Some(10));
    assert_eq!(config.processor.window_limit, Some(256 << 20));
    assert!(config.brokers[1].may_adopt("orders_v1"));
    let flow = "a.flows.orange.example".parse().unwrap();
    assert_eq!(
        config.brokers[1].queue_name(&flow),
        "eson.a.flows.orange.example.v1"
    );
    let domain = |name: &str| {
        let peer = config.peer(&name.parse().unwrap());
        peer.domain.as_ref().map(ToString::to_string)
    };
    assert_eq!(
        domain("a.flows.blue.example").as_deref(),
        Some("blue.example")
    );
    assert_eq!(domain("a.flows.darkblue.example"), None);
    assert!(config.namespace_of(&flow).is_some());
}

/// Calls `change` with the document and each mapping in it that has words of the configuration
/// for keys, by its path.
fn mappings(value: &Value, path: &mut Vec<Value>, found: &mut Vec<Vec<Value>>) {
    match value {
        Value::Mapping(mapping) => {
            if path.last() != Some(&Value::from("hosts")) {
                found.push(path.clone());
            }
            for (key, value) in mapping {
                path.push(key.clone());
                mappings(value, path, found);
                path.pop();
            }
        }
        Value::Sequence(items) => {
            for (index, value) in items.iter().enumerate() {
                path.push(index.into());
                mappings(value, path, found);
                path.pop();
            }
        }
        _ => {}
    }
}

fn mapping_at<'v>(value: &'v mut Value, path: &[Value]) -> &'v mut serde_yaml_ng::Mapping {
    let mut value = value;
    for step in path {
        value = match step.as_u64() {
            Some(index) => &mut value[usize::try_from(index).unwrap()],
            None => &mut value[step],
        };
    }
    value.as_mapping_mut().unwrap()
}

#[test]
fn every_key_misspelt_is_refused() {
    let mut documents: Vec<_> = EXAMPLES
        .iter()
        .map(|name| std::fs::read_to_string(example(name)).unwrap())
        .collect();
    documents.push(EVERYTHING.to_owned());
    let mut tried = BTreeSet::new();
    for document in documents {
        let whole: Value = serde_yaml_ng::from_str(&document).unwrap();
        let mut found = Vec::new();
        mappings(&whole, &mut Vec::new(), &mut found);
        for path in found {
            let keys: Vec<_> = mapping_at(&mut whole.clone(), &path)
                .keys()
                .cloned()
                .collect();
            for key in keys {
                let key = key.as_str().unwrap();
                let misspelt = format!("{key}x");
                let mut mutant = whole.clone();
                let mapping = mapping_at(&mut mutant, &path);
                let value = mapping.remove(key).unwrap();
                mapping.insert(misspelt.as_str().into(), value);
                let problems = problems(&serde_yaml_ng::to_string(&mutant).unwrap());
                let refused = format!("{misspelt}: is no key here");
                assert!(
                    problems.iter().any(|text| text.contains(&refused)),
                    "{key}: {problems:?}"
                );
                tried.insert(key.to_owned());
            }
        }
    }
    assert!(tried.len() > 60, "{tried:?}");
    let reference = include_str!("../../../../docs/operations.md");
    for key in tried {
        assert!(
            reference.contains(&format!("`{key}`")) || is_heading(reference, &key),
            "{key}"
        );
    }
}

fn is_heading(reference: &str, key: &str) -> bool {
    let mut headings = reference
        .lines()
        .filter_map(|line| line.strip_prefix("### "));
    headings.any(|heading| heading == key || heading.starts_with(&format!("{key}:")))
}

#[test]
fn keys_may_have_the_draft_s_underscores() {
    let config = load(&EVERYTHING.replace("ns-private", "ns_private")).unwrap();
    assert_eq!(config.namespaces[0].ns_private.as_deref(), Some("bind"));
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let expected = [
        "fqdn: is missing",
        "state-dir: is missing; give it here or by --state-dir",
        "brokers[0].type: `rabbit` is none of local, kafka",
        "listen[0].address: must be an address and a port, as in 127.0.0.1:61000",
        "listen[0].plain-auth: is no key here; there are address, advertised-port, \
         plaintext-auth, tls",
        "namespaces[0].broker: there is no broker `kafak` in `brokers`",
        "namespaces[0].ns-public: there is no name server `bind` in `nameservers`",
        "users[0].name: must be text; put it in quotes",
        "users[0].scram-sha-256: this is no verifier (ROUNDS$SALT$STORED-KEY$SERVER-KEY, in \
         base64); write one with `fnaad user add`",
        "peers[0].trusted-networks[1]: must be a network, as in 127.0.0.0/8",
        "peers[0].mechanism: needs `username` and `password-file`",
        "subscriptions.lease: must be a time with a unit (ms, s, m, h, d), as in 60s or 7d",
        "limits.sessions: must be a whole number from 1 to 10000000",
        "processor.memory-limit: a leg needs 128KiB at least",
        "processor.threads: must be a whole number from 1 to 1024",
        "processor.request-timeout: must be whole seconds, from 1s to 1h",
        "processor.window-limit: must be a size from 1MiB to 64GiB",
        "web.listen: must be a loopback address: nobody is asked who he is there",
        "extra: is no key here",
    ];
    let found = problems(include_str!("wrong.yaml"));
    for text in expected {
        assert!(
            found.iter().any(|problem| problem.starts_with(text)),
            "{text}\nin {found:#?}"
        );
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn owners_and_users_are_somebody() {
    for (wrong, place) in [
        (
            "owners: ['*@orange.example'",
            "namespaces[0].owners[0]: must be one user",
        ),
        ("owners: ['*'", "namespaces[0].owners[0]: must be one user"),
    ] {
        let found = problems(&EVERYTHING.replace("owners: [test", wrong));
        assert!(found.len() == 1 && found[0].starts_with(place), "{found:?}");
    }
    for wrong in ["'*@blue.example'", "anonymous"] {
        let wrong = format!("principal: {wrong}");
        let found = problems(&EVERYTHING.replace("principal: blue.example", &wrong));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("].principal: must be one user"),
            "{found:?}"
        );
    }
}

#[test]
fn names_are_there_once() {
    let twice = EVERYTHING
        .replace("name: kafka", "name: local")
        .replace("broker: kafka", "broker: local");
    assert_eq!(
        problems(&twice),
        ["brokers[].name: `local` is there more than once"]
    );
}

#[test]
fn what_is_no_yaml_says_where() {
    let error = load("fqdn: [").unwrap_err().to_string();
    assert!(
        error.contains("is no valid YAML") && error.contains("line 2"),
        "{error}"
    );
    let twice = load("fqdn: a\nfqdn: b").unwrap_err().to_string();
    assert!(twice.contains("duplicate"), "{twice}");
    let missing = Config::load(Path::new("nowhere.yaml"), None).unwrap_err();
    assert!(matches!(missing, ConfigError::Read { .. }));
}

#[test]
fn the_users_file_adds_users() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("fnaad.yaml");
    std::fs::write(&file, EVERYTHING).unwrap();
    let users = directory.path().join("users.yaml");
    let verifier =
        |salt: &[u8]| eson_identity::ScramVerifier::derive("secret", salt, 4096).unwrap();
    for salt in [b"0123456789", b"9876543210"] {
        add_user(&users, "alice", &verifier(salt)).unwrap();
    }
    let config = Config::load(&file, None).unwrap();
    let alice = config
        .users
        .iter()
        .find(|user| user.name == "alice")
        .unwrap();
    assert_eq!(alice.verifier, verifier(b"9876543210"));
    assert_eq!(alice.principal.to_string(), "alice@orange.example");

    std::fs::write(&users, "- name: 5\n").unwrap();
    let Err(ConfigError::Invalid { problems, .. }) = Config::load(&file, None) else {
        panic!("a broken users file is refused");
    };
    let texts = texts(&problems);
    let prefix = format!("{}: [0].", users.display());
    assert_eq!(
        texts,
        [
            format!("{prefix}name: must be text; put it in quotes"),
            format!("{prefix}scram-sha-256: is missing"),
        ]
    );
}
