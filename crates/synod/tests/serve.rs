//! `synod serve` and `synod dev` as an operator meets them: what they print, and how they end.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const PATIENCE: Duration = Duration::from_secs(60);

fn synod(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
    command.args(arguments).current_dir(directory);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SYNOD_")) {
        command.env_remove(name);
    }
    command
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What is refused before anything starts: the message.
fn refused(directory: &Path, arguments: &[&str]) -> String {
    let output = run(&mut synod(directory, arguments));
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    text(&output.stderr)
}

/// The value of `key` as `--print-config` shows it, with its origin.
fn printed(command: &mut Command, key: &str) -> String {
    let output = run(command.arg("--print-config"));
    assert!(output.status.success(), "{output:?}");
    let stdout = text(&output.stdout);
    let line = stdout.lines().find(|line| line.starts_with(&format!("{key} = ")));
    line.unwrap_or_else(|| panic!("no {key} in {stdout}")).to_owned()
}

/// A process that is ended however the test ends.
struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Running {
    fn start(mut command: Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (send, lines) = mpsc::channel();
        let outputs: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for output in outputs {
            let send = send.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if send.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Running { child, lines }
    }

    /// Everything printed up to the line that contains `wanted`.
    fn wait_for(&self, wanted: &str) -> String {
        let mut seen = String::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    seen += &line;
                    seen.push('\n');
                    if line.contains(wanted) {
                        return seen;
                    }
                }
                Err(error) => panic!("no \"{wanted}\" ({error}) in:\n{seen}"),
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The exit code, once it has ended.
    fn end(&mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn url() -> String {
    format!("http://127.0.0.1:{}", free_port())
}

#[test]
fn a_flag_counts_more_than_a_variable_and_a_variable_more_than_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    fs::write(path.join("synod.toml"), "heartbeat-interval = 30\nelection-timeout = 300\nname = \"f\"\n")
        .unwrap();
    let serve = |arguments: &[&str]| synod(path, &[&["serve"], arguments].concat());
    let file = ["--config-file", "synod.toml"];

    let key = "heartbeat-interval";
    assert_eq!(printed(&mut serve(&[]), key), "heartbeat-interval = 100 # the default");
    assert_eq!(printed(&mut serve(&file), key), "heartbeat-interval = 30 # the file");
    let mut with_variable = serve(&file);
    with_variable.env("SYNOD_HEARTBEAT_INTERVAL", "40");
    assert_eq!(printed(&mut with_variable, key), "heartbeat-interval = 40 # the environment");
    let mut with_all = serve(&["--config-file", "synod.toml", "--heartbeat-interval", "50"]);
    with_all.env("SYNOD_HEARTBEAT_INTERVAL", "40");
    assert_eq!(printed(&mut with_all, key), "heartbeat-interval = 50 # a flag");
    assert_eq!(printed(&mut serve(&file), "data-dir"), "data-dir = \"f.synod\" # the default");
}

#[test]
fn what_is_printed_is_a_configuration_file() {
    let directory = tempfile::tempdir().unwrap();
    let members = "a=http://h:1,b=http://h:2";
    let given =
        ["serve", "--name", "b", "--initial-cluster", members, "--log-format", "json", "--print-config"];
    let first = run(&mut synod(directory.path(), &given)).stdout;
    fs::write(directory.path().join("again.toml"), &first).unwrap();
    let again = ["serve", "--config-file", "again.toml", "--print-config"];
    let second = run(&mut synod(directory.path(), &again)).stdout;
    let values = |bytes: &[u8]| -> Vec<String> {
        text(bytes).lines().map(|line| line.split(" # ").next().unwrap().to_owned()).collect()
    };
    assert_eq!(values(&first), values(&second));
    assert!(text(&first).contains("initial-advertise-peer-urls = \"http://h:2\""), "{}", text(&first));
}

#[test]
fn a_configuration_that_cannot_be_used_is_refused_with_the_place_and_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let missing = refused(path, &["serve", "--config-file", "missing.toml"]);
    assert!(missing.contains("missing.toml") && missing.contains("No such file"), "{missing}");

    fs::write(path.join("bad.toml"), "name = \"a\"\nheartbeat-intervall = 5\n").unwrap();
    let unknown = refused(path, &["serve", "--config-file", "bad.toml"]);
    assert!(unknown.contains("line 2") && unknown.contains("heartbeat-intervall"), "{unknown}");

    let stranger = refused(path, &["serve", "--name", "c", "--initial-cluster", "a=http://h:1,b=http://h:2"]);
    assert!(stranger.contains("no member is called \"c\"") && stranger.contains("a, b"), "{stranger}");

    let address = refused(path, &["serve", "--listen-client-urls", "localhost:2379"]);
    assert!(address.contains("listen-client-urls (from a flag)") && address.contains("http://"), "{address}");

    let hasty = refused(path, &["serve", "--election-timeout", "200"]);
    assert!(hasty.contains("five times heartbeat-interval"), "{hasty}");

    let elsewhere = refused(
        path,
        &["serve", "--initial-cluster", "default=http://h:1", "--initial-advertise-peer-urls", "http://h:2"],
    );
    assert!(elsewhere.contains("http://h:1, not at http://h:2"), "{elsewhere}");
    assert_eq!(fs::read_dir(path).unwrap().count(), 1, "nothing was written");
}

#[test]
fn a_port_in_use_is_named_and_nothing_is_touched() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("http://{}", taken.local_addr().unwrap());
    let held = TcpListener::bind(taken.trim_start_matches("http://"));
    let (clients, peers) = (url(), url());
    for (what, listen) in [
        ("client address", ["--listen-client-urls", &taken, "--listen-peer-urls", &peers]),
        ("peer address", ["--listen-client-urls", &clients, "--listen-peer-urls", &taken]),
    ] {
        let output = run(&mut synod(directory.path(), &[&["serve"][..], &listen].concat()));
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(
            message.contains(what) && message.contains(&taken) && message.contains("in use"),
            "{message}"
        );
    }
    drop(held);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_member_starts_with_one_command_answers_and_stops_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let (clients, peers) = (url(), url());
    let serve = ["serve", "--listen-client-urls", &clients, "--listen-peer-urls", &peers];
    for (signal, expected) in [(Signal::TERM, "first"), (Signal::INT, "second")] {
        let mut member = Running::start(synod(directory.path(), &serve));
        member.wait_for("listening");
        let client = |arguments: &[&str]| {
            let output = run(synod(directory.path(), arguments).env("SYNOD_ENDPOINTS", &clients));
            assert!(output.status.success(), "{output:?}");
            text(&output.stdout)
        };
        client(&["put", "key", expected]);
        assert!(client(&["get", "key"]).contains(expected));

        let second = run(&mut synod(
            directory.path(),
            &[
                "serve",
                "--listen-client-urls",
                &url(),
                "--listen-peer-urls",
                &url(),
                "--initial-advertise-peer-urls",
                &peers,
            ],
        ));
        assert_eq!(second.status.code(), Some(1));
        let message = text(&second.stderr);
        assert!(message.contains("default.synod is used by another process"), "{message}");

        member.signal(signal);
        assert_eq!(member.end(), Some(0));
    }
}

#[test]
fn a_data_directory_of_another_cluster_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (clients, peers) = (url(), url());
    let serve = ["serve", "--listen-client-urls", &clients, "--listen-peer-urls", &peers];
    let mut member = Running::start(synod(directory.path(), &serve));
    member.wait_for("listening");
    member.signal(Signal::TERM);
    assert_eq!(member.end(), Some(0));
    let other = [&serve[..], &["--initial-cluster-token", "another"]].concat();
    let output = run(&mut synod(directory.path(), &other));
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("belongs to another cluster") && message.contains("\"another\""), "{message}");
}

/// Three ports in the steps of two that `synod dev` takes.
fn dev_port() -> u16 {
    loop {
        let first = free_port();
        if first < 65_000 && [2, 4].iter().all(|step| TcpListener::bind(("127.0.0.1", first + step)).is_ok())
        {
            return first;
        }
    }
}

#[test]
fn dev_says_what_runs_where_answers_and_keeps_its_data_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let port = dev_port();
    let port_text = port.to_string();
    for round in 0..2 {
        let mut dev = Running::start(synod(directory.path(), &["dev", "--client-port", &port_text]));
        let shown = dev.wait_for("Ctrl-C stops");
        for index in 0..3 {
            assert!(shown.contains(&format!("http://127.0.0.1:{}", port + 2 * index)), "{shown}");
        }
        assert!(shown.contains("ready: 3 members") && shown.contains("synod-data"), "{shown}");
        // The commands it proposes are the ones that work.
        let commands: Vec<&str> =
            shown.lines().filter_map(|line| line.trim().strip_prefix("synod ")).collect();
        assert_eq!(commands.len(), 3, "{shown}");
        let from = usize::from(round == 1);
        for command in &commands[from..] {
            let words: Vec<&str> = command.split(' ').collect();
            let output = run(&mut synod(directory.path(), &words));
            assert!(output.status.success(), "{output:?}");
            if command.starts_with("get") {
                assert!(text(&output.stdout).contains("hello"), "{output:?}");
            }
        }
        dev.signal(Signal::INT);
        assert_eq!(dev.end(), Some(0));
    }
    let output = run(&mut synod(directory.path(), &["dev", "--members", "5", "--client-port", &port_text]));
    let message = text(&output.stderr);
    assert!(!output.status.success() && message.contains("--members 3"), "{message}");
}

#[test]
fn dev_in_memory_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port().to_string();
    let arguments = ["dev", "--members", "1", "--in-memory", "--client-port", &port];
    let mut dev = Running::start(synod(directory.path(), &arguments));
    dev.wait_for("ready: 1 member,");
    dev.signal(Signal::TERM);
    assert_eq!(dev.end(), Some(0));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
