//! Help, wrong usage and completions.

use crate::Home;

#[test]
fn help_is_as_committed() {
    let help = Home::empty().run(&["--help"]).success();
    assert_eq!(help, include_str!("help.txt"));
}

#[test]
fn every_command_has_help() {
    let home = Home::empty();
    for command in [
        &["create", "flow"][..],
        &["update", "namespace"],
        &["delete", "processor"],
        &["get", "subscribers"],
        &["describe", "broker"],
        &["read"],
        &["write"],
        &["replicate"],
        &["collect"],
        &["distribute"],
        &["signal"],
        &["update", "processor"],
        &["update", "subscriber"],
        &["describe", "subscriber"],
        &["stop", "processor"],
        &["top"],
        &["subscribe"],
        &["unsubscribe"],
        &["grant"],
        &["revoke"],
        &["remove", "subscriber"],
        &["pause", "flow"],
        &["resume", "subscriber"],
        &["stop", "subscription"],
        &["resolve"],
        &["set", "agent"],
        &["whoami"],
        &["capabilities"],
        &["completion"],
    ] {
        let help = home.run(&[command, &["--help"]].concat()).success();
        let usage = format!("Usage: fnua {}", command.join(" "));
        assert!(help.contains(&usage), "{help}");
    }
}

#[test]
fn wrong_usage_is_2() {
    let home = Home::empty();
    for (arguments, expected) in [
        (&[][..], "Usage: fnua"),
        (&["fly"], "unrecognized subcommand 'fly'"),
        (&["create", "flow"], "<FLOW>"),
        (&["create", "flow", "http://a.example"], "flow://"),
        (&["create", "flow", "a_b.example"], "`a_b`"),
        (
            &["create", "flow", "a.example", "--partitions", "0"],
            "--partitions",
        ),
        (&["create", "flow", "a.example", "--retention", "7w"], "7d"),
        (
            &["grant", "everything", "a.example", "anonymous"],
            "read, write, admin",
        ),
        (&["grant", "read", "a.example", "a@b@"], "no user name"),
        (
            &["read", "a.example", "--from", "yesterday"],
            "earliest, latest",
        ),
        (&["write", "a.example", "--type", "t"], "--source"),
        (&["collect", "a.example"], "<DESTINATION>"),
        (&["distribute", "a.example"], "<DESTINATION>"),
        (
            &["update", "processor", "p", "--annotate", "no"],
            "true, false",
        ),
        (&["top", "--interval", "0"], "above 0"),
        (&["--timeout", "0", "whoami"], "above 0"),
        (
            &["whoami", "--agent", "a", "--anonymous"],
            "cannot be used with",
        ),
    ] {
        let error = home.run(arguments).failure(2);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}

#[test]
fn a_program_that_no_command_can_carry_is_named() {
    let home = Home::empty();
    std::fs::write(home.path("long.jq"), ". | ".repeat(3_000) + ".").expect("written");
    for arguments in [
        &["signal", "a.example", "b.example", "--program", "long.jq"][..],
        &["update", "processor", "p", "--program", "long.jq"],
    ] {
        let error = home.run(arguments).failure(2);
        assert!(
            error.contains("the program long.jq has 12001 octets") && error.contains("gRPC"),
            "{arguments:?}: {error}"
        );
    }
}

#[test]
fn more_flows_than_a_command_can_name_are_counted() {
    let home = Home::empty();
    let names = (0..1_000).map(|number| format!("f{number}.example"));
    let names: Vec<String> = names.collect();
    let flows: Vec<&str> = names.iter().map(String::as_str).collect();
    for command in ["collect", "distribute"] {
        let error = home.run(&[&[command], &flows[..]].concat()).failure(2);
        assert!(error.contains("1000 flows"), "{command}: {error}");
    }
}

#[test]
fn completions_for_shells() {
    let home = Home::empty();
    for shell in ["bash", "zsh", "fish"] {
        let script = home.run(&["completion", shell]).success();
        assert!(
            script.contains("fnua") && script.contains("unsubscribe"),
            "{shell}"
        );
    }
}
