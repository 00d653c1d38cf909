//! etcd's own command-line client against a real cluster.
//!
//! `etcdctl.txt` is a session: a line `$ etcdctl …` is run, lines `< …` after it are its standard input, and what follows
//! is what it has to print. The file was recorded from etcd 3.4.23. To check it against a running etcd again, set
//! `REAL_ETCD_ENDPOINTS` to the client addresses of a fresh three-member cluster.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::cluster::Cluster;

const SESSION: &str = include_str!("etcdctl.txt");

/// Whether etcdctl is there. In continuous integration it has to be.
fn installed() -> bool {
    let there = Command::new("etcdctl").arg("version").env("ETCDCTL_API", "3").output().is_ok();
    let required = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(there || !required, "etcdctl is not installed: apt-get install etcd-client");
    if !there {
        eprintln!("etcdctl is not installed, nothing was tested: apt-get install etcd-client");
    }
    there
}

/// Runs a command line and returns what it prints: standard output, then errors, then the exit code if it is not 0.
fn etcdctl(endpoints: &str, arguments: &[String], input: &str) -> String {
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").arg(format!("--endpoints={endpoints}")).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let mut text = String::from_utf8(output.stdout).unwrap();
    // The client's own log, which tells of its retries, has times in it.
    let errors = String::from_utf8(output.stderr).unwrap();
    for line in errors.lines().filter(|line| !line.starts_with("{\"level\"")) {
        text += &format!("{line}\n");
    }
    match output.status.code() {
        Some(0) => text,
        code => text + &format!("(exit {})\n", code.unwrap()),
    }
}

fn run(endpoints: &str, line: &str) -> String {
    etcdctl(endpoints, &words(line), "")
}

/// Splits at blanks, except between quotation marks.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut begun) = (Vec::new(), String::new(), false, false);
    for character in line.chars() {
        match character {
            '\'' => (quoted, begun) = (!quoted, true),
            ' ' if !quoted => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            other => {
                word.push(other);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

/// Replaces what differs from cluster to cluster: addresses, identities, terms, times and sizes.
fn normalise(line: &str, printed: &str) -> String {
    let mut text = printed.to_owned();
    for name in ["\"cluster_id\":", "\"member_id\":", "\"raft_term\":", "\"ClusterID\" : ", "\"MemberID\" : "]
    {
        text = blank_after(&text, name, |c| c.is_ascii_digit(), "N");
    }
    text = blank_after(&text, "\"RaftTerm\" : ", |c| c.is_ascii_digit(), "N");
    text = blank_after(&text, "127.0.0.1:", |c| c.is_ascii_digit(), "PORT");
    text = blank_after(&text, "took = ", |c| c != '\n', "TIME");
    let columns: &[(usize, &str)] = if line.starts_with("member list") {
        &[(0, "ID")]
    } else if line.starts_with("endpoint status") {
        &[(1, "ID"), (2, "VERSION"), (3, "SIZE"), (4, "LEADS"), (6, "N"), (7, "N"), (8, "N")]
    } else if line.starts_with("endpoint hashkv") {
        &[(1, "HASH")]
    } else {
        &[]
    };
    let mut lines: Vec<String> = text.lines().map(|line| replace_columns(line, columns)).collect();
    if line.starts_with("member") || line.starts_with("endpoint") {
        lines.sort();
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

fn replace_columns(line: &str, replacements: &[(usize, &str)]) -> String {
    let mut columns: Vec<&str> = line.split(", ").collect();
    for (index, replacement) in replacements {
        // An error has no columns.
        if let Some(column) = columns.get_mut(*index) {
            *column = replacement;
        }
    }
    columns.join(", ")
}

/// Replaces the run of characters for which `part` holds wherever it stands after `name`.
fn blank_after(text: &str, name: &str, part: impl Fn(char) -> bool, with: &str) -> String {
    let mut pieces = text.split(name);
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let rest = piece.trim_start_matches(&part);
        out += name;
        out += if rest.len() < piece.len() { with } else { "" };
        out += rest;
    }
    out
}

/// Runs the session anew.
fn replay(endpoints: &str) -> String {
    let mut replayed = String::new();
    let mut lines = SESSION.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(arguments) = line.strip_prefix("$ etcdctl ") else {
            // What was printed then; but titles stay.
            if line.starts_with('#') {
                replayed += &format!("{line}\n");
            }
            continue;
        };
        replayed += &format!("{line}\n");
        let mut input = String::new();
        while let Some(typed) = lines.peek().and_then(|line| line.strip_prefix('<')) {
            input += &format!("{}\n", typed.trim_start());
            replayed += &format!("<{typed}\n");
            lines.next();
        }
        let printed = etcdctl(endpoints, &words(arguments), &input);
        replayed += &normalise(arguments, &printed);
    }
    replayed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcdctl_prints_what_it_prints_with_etcd() {
    if !installed() {
        return;
    }
    let replayed = match std::env::var("REAL_ETCD_ENDPOINTS") {
        Ok(endpoints) => replay(&endpoints),
        Err(_) => {
            let cluster = Cluster::start(3).await;
            replay(&cluster.endpoints())
        }
    };
    if replayed == SESSION {
        return;
    }
    let file = format!("{}/etcdctl.txt", env!("CARGO_TARGET_TMPDIR"));
    fs::write(&file, &replayed).unwrap();
    for (number, (now, then)) in replayed.lines().zip(SESSION.lines()).enumerate() {
        assert_eq!(now, then, "line {} of etcdctl.txt; all of what was printed is in {file}", number + 1);
    }
    panic!("etcdctl.txt has {} bytes, what was printed {}: {file}", SESSION.len(), replayed.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcdctl_sees_the_cluster_as_it_is() {
    if !installed() {
        return;
    }
    let mut cluster = Cluster::start(3).await;
    cluster.settled().await;
    let all = cluster.endpoints();

    let mut listed: Vec<String> = run(&all, "member list").lines().map(str::to_owned).collect();
    listed.sort_by_key(|line| line.split(", ").nth(2).map(str::to_owned));
    for (line, member) in listed.iter().zip(&cluster.members) {
        let columns: Vec<&str> = line.split(", ").collect();
        let (clients, peers) = (member.endpoint(), format!("http://127.0.0.1:{}", member.peer));
        let expected = ["started", &member.name, &peers, &format!("http://{clients}"), "false"];
        assert_eq!(columns[1..], expected);
        let status = run(&clients, "endpoint status");
        assert!(status.starts_with(&format!("{clients}, {}, ", columns[0])), "{status}{line}");
    }
    assert_eq!(listed.len(), 3);

    let status = run(&all, "endpoint status");
    let column = |index| status.lines().map(move |line| line.split(", ").nth(index).unwrap().to_owned());
    let leads: Vec<bool> = column(4).map(|leads| leads.parse().unwrap()).collect();
    let leader = cluster.leader().await;
    assert_eq!(leads, (0..3).map(|index| index == leader).collect::<Vec<_>>(), "{status}");
    let terms: Vec<String> = column(6).collect();
    assert!(terms.iter().all(|term| *term == terms[0]), "one leader, one ballot: {status}");
    let hashes = run(&all, "endpoint hashkv");
    let hashes: Vec<&str> = hashes.lines().map(|line| line.split(", ").nth(1).unwrap()).collect();
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");

    let down = cluster.follower().await;
    cluster.members[down].kill();
    let health = run(&all, "--command-timeout=2s --dial-timeout=1s endpoint health");
    for member in &cluster.members {
        let healthy = format!("{} is healthy: successfully committed proposal", member.endpoint());
        assert_eq!(health.contains(&healthy), member.process.is_some(), "{health}");
    }
    assert!(health.ends_with("(exit 1)\n"), "{health}");
}
