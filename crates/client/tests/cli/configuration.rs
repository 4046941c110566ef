//! Finding, reading and changing `.flow.yml`.

use std::net::{TcpListener, UdpSocket};

use crate::Home;
use crate::script::Script;

const TWO: &str = "# two of them
agents:
  - { name: orange, fqdn: fnaa.orange.example, address: '127.0.0.1:1' }
  - { name: blue, fqdn: fnaa.blue.example, address: '127.0.0.1:1' }
";

#[test]
fn a_file_that_is_not_there() {
    let error = Home::empty()
        .run(&["--config", "none.yml", "whoami"])
        .failure(2);
    assert!(
        error.starts_with("fnua: none.yml can't be read: "),
        "{error}"
    );
}

#[test]
fn all_mistakes_at_once() {
    let home = Home::with("agents:\n  - { name: a, colour: blue }\nagent: a\n");
    let error = home.run(&["whoami"]).failure(2);
    assert_eq!(
        error,
        "fnua: .flow.yml is not valid:
  `agent` is unknown; known are agents, namespaces, current-agent, nameserver
  `agents[0].fqdn` is missing
  `agents[0].colour` is unknown; known are name, fqdn, username, password, password-file, \
         mechanism, prefix, address, tls, ca-file, allow-plaintext
"
    );
}

/// The file that the demonstration uses is right, and none of its keys may be misspelt.
#[test]
fn the_shipped_example() {
    let example = include_str!("../../../../examples/demo.flow.yml");
    let home = Home::with(&format!("{example}\ncurrent-agent: orange\n"));
    home.run(&["set", "agent", "blue"]).success();
    let lines: Vec<&str> = example.lines().collect();
    let keys = (0..lines.len()).filter(|&at| {
        let line = lines[at].trim_start();
        !line.starts_with('#') && (line.contains(": ") || line.ends_with(':'))
    });
    let mut misspelt = 0;
    for at in keys {
        let mut lines = lines.clone();
        let wrong = lines[at].replacen(':', "x:", 1);
        lines[at] = &wrong;
        let error = Home::with(&lines.join("\n"))
            .run(&["set", "agent", "blue"])
            .failure(2);
        assert!(error.contains("is unknown"), "{wrong}: {error}");
        misspelt += 1;
    }
    assert!(misspelt > 10, "only {misspelt} keys");
}

#[test]
fn nothing_is_configured() {
    let error = Home::empty().run(&["whoami"]).failure(2);
    assert!(error.contains("which agent?"), "{error}");
}

#[test]
fn nothing_tells_which_agent() {
    let error = Home::with(TWO).run(&["whoami"]).failure(2);
    assert!(error.contains("orange, blue"), "{error}");
    let error = Home::with(TWO)
        .run(&["--agent", "green", "whoami"])
        .failure(2);
    assert!(error.contains("no agent `green`"), "{error}");
}

#[test]
fn set_agent_is_kept() {
    let home = Home::with(TWO);
    let out = home.run(&["set", "agent", "blue"]).success();
    assert_eq!(out, "commands go to blue by default\n");
    let text = std::fs::read_to_string(home.path(".flow.yml")).expect("there");
    assert_eq!(text, format!("{TWO}current-agent: blue\n"));
    assert_eq!(home.run(&["-q", "set", "agent", "orange"]).success(), "");
    let text = std::fs::read_to_string(home.path(".flow.yml")).expect("there");
    assert_eq!(text, format!("{TWO}current-agent: orange\n"));
    home.run(&["set", "agent", "green"]).failure(2);
}

#[test]
fn a_local_flow_needs_a_name_or_a_prefix() {
    let error = Home::with(TWO)
        .run(&["--agent", "blue", "subscribe", "a.example"])
        .failure(2);
    assert!(error.contains("which local flow?"), "{error}");
}

#[test]
fn a_password_in_a_file() {
    let script = Script::logged_in("C: WHOAMI\n S: 220 OK");
    let home = Home::with(&format!(
        "agents: [{{ name: a, fqdn: fnaa.unix.ar, username: test, password-file: secret, \
         mechanism: PLAIN, address: '127.0.0.1:{}' }}]",
        script.port
    ));
    let error = home.run(&["whoami"]).failure(2);
    assert!(error.contains("secret can't be read"), "{error}");
    std::fs::write(home.path("secret"), "test\n").expect("written");
    home.run(&["whoami"]).success();
    script.end();
}

#[test]
fn nobody_listens_is_4() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    let error = Home::at(port).run(&["whoami"]).failure(4);
    assert!(error.contains(&format!("127.0.0.1 port {port}")), "{error}");
}

#[test]
fn names_that_nobody_resolves_are_3() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let server = socket.local_addr().expect("bound").to_string();
    drop(socket);
    let home = Home::with("agents: [{ name: a, fqdn: fnaa.unix.ar }]");
    let error = home.run(&["--nameserver", &server, "whoami"]).failure(3);
    assert!(error.contains("fnaa.unix.ar"), "{error}");
    let error = home.run(&["--nameserver", ":53", "whoami"]).failure(2);
    assert!(error.contains("HOST[:PORT]"), "{error}");
    // Without any agent, the flow's own is looked for.
    let error = Home::empty()
        .run(&["--nameserver", &server, "read", "a.example"])
        .failure(3);
    assert!(error.contains("a.example"), "{error}");
}
