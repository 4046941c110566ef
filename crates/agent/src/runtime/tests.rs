//! Against real processes of the real `flow-processor`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use eson_processor::proto::{Endpoint, Leg, ProcessorType, Spec, State, Status};
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::config::Config;

const SOON: Duration = Duration::from_secs(30);

/// The real program, built by cargo if it is not there yet.
fn flow_processor() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let output = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--package",
                "eson-processor",
                "--bin",
                "flow-processor",
            ])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let tests = std::env::current_exe().unwrap();
        tests
            .parent()
            .and_then(|deps| deps.parent())
            .unwrap()
            .join("flow-processor")
    };
    BUILT.get_or_init(build).clone()
}

struct World {
    processes: ChildProcesses,
    directory: TempDir,
}

fn world(program: PathBuf) -> World {
    world_with(program, Duration::from_millis(50))
}

fn world_with(program: PathBuf, restart_delay: Duration) -> World {
    let directory = TempDir::new().unwrap();
    let options = RuntimeOptions {
        program,
        arguments: Vec::new(),
        directory: directory.path().join("processors"),
        restart_delay,
        longest_restart_delay: restart_delay * 4,
        stop_time: Duration::from_secs(25),
    };
    World {
        processes: ChildProcesses::with(options).unwrap(),
        directory,
    }
}

/// An example of a configuration with this section `processor`.
fn configured(directory: &TempDir, processor: &str) -> Config {
    let file = directory.path().join("fnaad.yaml");
    let example = include_str!("../../../../examples/orange.yaml");
    std::fs::write(&file, format!("{example}\nprocessor: {{ {processor} }}\n")).unwrap();
    Config::load(&file, Some(directory.path())).unwrap()
}

/// A bridge between queues at a port where nobody answers: it keeps trying.
fn bridge(id: &str, queue: &str) -> Spec {
    let endpoint = |queue: &str| Endpoint {
        flow: queue.to_owned(),
        kind: "kafka".to_owned(),
        servers: vec!["127.0.0.1:1".to_owned()],
        queue: queue.to_owned(),
        trusted_networks: vec!["127.0.0.0/8".to_owned()],
        ..Endpoint::default()
    };
    Spec {
        id: id.to_owned(),
        r#type: ProcessorType::Bridge.into(),
        sources: vec![endpoint(queue)],
        legs: vec![Leg {
            id: "leg".to_owned(),
            destination: Some(endpoint("destination")),
            ..Leg::default()
        }],
        ..Spec::default()
    }
}

/// Waits for a status with this id that is so.
async fn until(statuses: &mut Statuses, id: &str, is_so: impl Fn(&Status) -> bool) -> Status {
    let found = async {
        loop {
            let status = statuses.next().await.expect("the runtime goes on");
            if status.id == id && is_so(&status) {
                return status;
            }
        }
    };
    timeout(SOON, found)
        .await
        .expect("a status that was never told")
}

fn is_interrupted(status: &Status) -> bool {
    let error = status.legs.first().and_then(|leg| leg.error.as_ref());
    error.is_some_and(|error| error.text.contains("it is started again"))
}

fn kill(process: u32) {
    let process = rustix::process::Pid::from_raw(process.cast_signed()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
}

/// The processes of this test's program that listen in this directory.
fn processes(world: &World) -> Vec<u32> {
    let directory = world.directory.path().to_str().unwrap().as_bytes().to_vec();
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let ours = |id: &u32| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        line.windows(directory.len())
            .any(|window| window == directory)
    };
    ids.filter(ours).collect()
}

/// The one process, once it is another one than that.
async fn until_one_other_than(world: &World, other: u32) -> u32 {
    let found = async {
        loop {
            if let [process] = until_processes(world, 1).await[..]
                && process != other
            {
                return process;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, found).await.expect("another process")
}

async fn until_processes(world: &World, count: usize) -> Vec<u32> {
    let found = async {
        loop {
            let found = processes(world);
            if found.len() == count {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, found).await.expect("so many processes")
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_instances_by_shard_and_stops_what_is_idle() {
    let world = world(flow_processor());
    let runtime = &world.processes;
    assert_eq!(processes(&world), [0; 0]);
    runtime
        .ensure("blue.example", bridge("a", "one"))
        .await
        .unwrap();
    runtime
        .ensure("blue.example", bridge("b", "two"))
        .await
        .unwrap();
    runtime
        .ensure("green.example", bridge("c", "three"))
        .await
        .unwrap();
    until_processes(&world, 2).await;
    for id in ["a", "b", "c"] {
        until(&mut runtime.watch(), id, |_| true).await;
    }
    let served = runtime.processes();
    assert!(served.keys().eq(["blue.example", "green.example"]));
    let running: BTreeSet<_> = processes(&world).into_iter().collect();
    assert_eq!(served.into_values().collect::<BTreeSet<_>>(), running);
    // The same again changes nothing, another spec replaces it.
    runtime
        .ensure("blue.example", bridge("a", "one"))
        .await
        .unwrap();
    runtime
        .ensure("blue.example", bridge("a", "other"))
        .await
        .unwrap();

    runtime.remove("a").await.unwrap();
    assert_eq!(runtime.status("a"), None);
    runtime.remove("c").await.unwrap();
    until_processes(&world, 1).await;
    runtime.remove("b").await.unwrap();
    runtime.remove("nobody").await.unwrap();
    until_processes(&world, 0).await;
    assert!(runtime.processes().is_empty());
    runtime
        .ensure("green.example", bridge("c", "three"))
        .await
        .unwrap();
    runtime.shutdown().await;
    assert_eq!(processes(&world), [0; 0]);
    let closed = runtime.ensure("green.example", bridge("c", "three")).await;
    assert_eq!(closed, Err(RuntimeError::Closed));
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_a_killed_process_again_with_everything_that_is_wanted() {
    let world = world(flow_processor());
    let runtime = &world.processes;
    for id in ["a", "b"] {
        runtime
            .ensure("blue.example", bridge(id, "one"))
            .await
            .unwrap();
    }
    let mut killed = 0;
    for _ in 0..3 {
        killed = until_one_other_than(&world, killed).await;
        kill(killed);
    }
    until_one_other_than(&world, killed).await;
    for id in ["a", "b"] {
        until(&mut runtime.watch(), id, |status| !is_interrupted(status)).await;
    }
    runtime
        .ensure("blue.example", bridge("c", "one"))
        .await
        .unwrap();
    runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_may_use_what_the_configuration_says() {
    let directory = TempDir::new().unwrap();
    let program = flow_processor();
    let section = format!(
        "program: {}, memory-limit: 128KiB, threads: 1, request-timeout: 5s, window-limit: 2MiB",
        program.display()
    );
    let world = World {
        processes: ChildProcesses::new(&configured(&directory, &section)).unwrap(),
        directory,
    };
    let runtime = &world.processes;
    runtime
        .ensure("blue.example", bridge("a", "one"))
        .await
        .unwrap();
    let process = until_processes(&world, 1).await[0];
    let line = std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap();
    for argument in [
        "--memory-limit=131072",
        "--threads=1",
        "--request-timeout=5",
        "--window-limit=2097152",
    ] {
        assert!(line.split('\0').any(|it| it == argument), "{line}");
    }
    let refused = runtime.ensure("blue.example", bridge("b", "two")).await;
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("2 legs don't fit into the 131072 bytes")
            && refused.contains("processor: memory-limit"),
        "{refused}"
    );
    runtime.shutdown().await;
}

#[test]
fn what_the_configuration_does_not_say_the_processor_decides() {
    let directory = TempDir::new().unwrap();
    let config = configured(&directory, "restart-delay: 1s");
    let arguments = RuntimeOptions::of(&config).unwrap().arguments;
    for key in [
        "--memory-limit",
        "--threads",
        "--request-timeout",
        "--window-limit",
    ] {
        let is_said = arguments.iter().any(|argument| argument.starts_with(key));
        assert!(!is_said, "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tells_that_a_process_has_ended() {
    let world = world_with(flow_processor(), Duration::from_secs(3600));
    let runtime = &world.processes;
    runtime
        .ensure("blue.example", bridge("a", "one"))
        .await
        .unwrap();
    let mut statuses = runtime.watch();
    until(&mut statuses, "a", |status| !is_interrupted(status)).await;
    kill(until_processes(&world, 1).await[0]);
    let ended = until(&mut statuses, "a", is_interrupted).await;
    assert_eq!(ended.legs[0].state(), State::Retrying);
    // Nothing of it runs, so that it is gone at once.
    runtime.remove("a").await.unwrap();
    until(&mut statuses, "a", |status| status.destroyed).await;
    runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn says_what_the_processor_refuses() {
    let world = world(flow_processor());
    let spec = Spec {
        sources: Vec::new(),
        ..bridge("a", "one")
    };
    let refused = world
        .processes
        .ensure("blue.example", spec)
        .await
        .unwrap_err();
    assert!(matches!(refused, RuntimeError::Refused { .. }), "{refused}");
    assert!(!refused.is_transient());
    world.processes.remove("a").await.unwrap();
    world.processes.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_runs_in_one_shard_and_is_removed_wherever_it_runs() {
    let world = world(flow_processor());
    let runtime = &world.processes;
    for shard in ["peers", "blue.example"] {
        runtime.ensure(shard, bridge("a", "one")).await.unwrap();
        until(&mut runtime.watch(), "a", |_| true).await;
    }
    until_processes(&world, 1).await;
    assert!(runtime.processes().keys().eq(["blue.example"]));
    runtime.remove("a").await.unwrap();
    assert_eq!(runtime.status("a"), None);
    until_processes(&world, 0).await;
    runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_to_whoever_asked_for_that_spec() {
    let world = world(flow_processor());
    let runtime = &world.processes;
    let good = bridge("a", "one");
    let mut bad = good.clone();
    bad.sources.clear();
    // Nothing has run so far at first; then what runs goes on.
    for _ in 0..2 {
        let asked = tokio::join!(
            runtime.ensure("blue.example", bad.clone()),
            runtime.ensure("blue.example", bad.clone()),
            runtime.ensure("blue.example", bad.clone()),
        );
        for answer in [asked.0, asked.1, asked.2] {
            let refused = matches!(answer, Err(RuntimeError::Refused { .. }));
            assert!(refused, "{answer:?}");
        }
        runtime.ensure("blue.example", good.clone()).await.unwrap();
    }
    let status = until(&mut runtime.watch(), "a", |_| true).await;
    assert_ne!(status.legs[0].state(), State::Failed, "{status:?}");
    runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_before_a_refused_spec_runs_again_in_a_new_process() {
    let world = world(flow_processor());
    let runtime = &world.processes;
    let good = bridge("a", "one");
    runtime.ensure("blue.example", good.clone()).await.unwrap();
    let mut bad = good.clone();
    bad.sources.clear();
    let refused = runtime.ensure("blue.example", bad).await.unwrap_err();
    assert!(!refused.is_transient(), "{refused}");
    kill(until_one_other_than(&world, 0).await);
    until(&mut runtime.watch(), "a", is_interrupted).await;
    let again = until(&mut runtime.watch(), "a", |status| !is_interrupted(status)).await;
    assert_ne!(again.legs[0].state(), State::Failed, "{again:?}");
    runtime.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn says_why_no_process_runs_and_goes_on_trying() {
    let world = world("/nowhere/flow-processor".into());
    let runtime = &world.processes;
    let error = runtime
        .ensure("blue.example", bridge("a", "one"))
        .await
        .unwrap_err();
    assert!(error.is_transient());
    let text = error.to_string();
    assert!(
        text.contains("blue.example") && text.contains("/nowhere/flow-processor"),
        "{text}"
    );
    let status = runtime.status("a").expect("a status");
    assert_eq!(status.legs[0].state(), State::Retrying);
    runtime.remove("a").await.unwrap();
    runtime.shutdown().await;
}

#[test]
fn refuses_a_directory_whose_sockets_have_too_long_names() {
    let directory = TempDir::new().unwrap();
    let options = RuntimeOptions {
        program: "flow-processor".into(),
        arguments: Vec::new(),
        directory: directory.path().join("long".repeat(30)),
        restart_delay: SOON,
        longest_restart_delay: SOON,
        stop_time: SOON,
    };
    let error = ChildProcesses::with(options).unwrap_err().to_string();
    assert!(error.contains("shorter state directory"), "{error}");
}
