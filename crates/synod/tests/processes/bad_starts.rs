//! Members that must not start: they say why, and touch nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::cluster::{Cluster, scratch};
use crate::support::ports;
use crate::support::process::{Process, run, stdout, synod};

/// The exit code of a member that cannot start, and of a configuration that cannot be one.
const CANNOT_START: i32 = 1;
const WRONG_CONFIGURATION: i32 = 2;

/// Runs what has to end by itself with `code`, saying all of `parts`.
async fn refuses(command: &mut Command, dir: &Path, code: i32, parts: &[&str]) {
    let log = dir.join("refusal.log");
    let _ = fs::remove_file(&log);
    let (status, printed) = Process::spawn(command, &log).ended().await;
    assert_eq!(status.code(), Some(code), "{printed}");
    for part in parts {
        assert!(printed.contains(part), "it does not say \"{part}\":\n{printed}");
    }
    assert!(!printed.contains("panicked"), "{printed}");
}

/// `synod serve` with one member of its own.
fn alone(port: u16, data: &Path) -> Command {
    let mut command = synod();
    command.args(["serve", "--listen-client-urls", &format!("http://127.0.0.1:{port}")]);
    command
        .args(["--listen-peer-urls", &format!("http://127.0.0.1:{}", port + 1)])
        .arg("--data-dir")
        .arg(data);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_on_a_data_directory_is_refused_and_the_first_goes_on() {
    let mut cluster = Cluster::start(1).await;
    cluster.members[0].client().await.put("key", "value", None).await.unwrap();
    let first = cluster.members[0].process.as_ref().unwrap().id().to_string();
    let mut second = alone(ports::free_row(2), &cluster.members[0].data);
    second.args(["--name", "m1"]);
    let parts = ["is used by another process", &first, "Stop it first, or choose another directory"];
    refuses(&mut second, cluster.dir.path(), CANNOT_START, &parts).await;

    let mut client = cluster.members[0].client().await;
    client.put("key", "later", None).await.unwrap();
    // The lock goes with the process, however it ends.
    cluster.members[0].kill();
    cluster.members[0].start();
    cluster.ready().await;
    let answer = cluster.members[0].client().await.get("key", None).await.unwrap();
    assert_eq!(answer.kvs()[0].value(), b"later");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ports_in_use_are_named_before_anything_is_touched() {
    let cluster = Cluster::start(1).await;
    let (taken, dir) = (&cluster.members[0], scratch());
    let data = dir.path().join("data");
    let free = ports::free_row(2);
    for (purpose, port) in [("client", taken.client), ("peer", taken.peer)] {
        let url = format!("http://127.0.0.1:{port}");
        let mut command = alone(free, &data);
        let flag = format!("--listen-{purpose}-urls");
        // The last one given would be refused as a repetition: the command is built anew.
        command = replace(&command, &flag, &url);
        let parts = [purpose, &url, "the port is in use"];
        refuses(&mut command, dir.path(), CANNOT_START, &parts).await;
        assert!(!data.exists(), "it made its data directory before it had its ports");
    }
    let mut dev = synod();
    dev.args(["dev", "--client-port", &taken.client.to_string()]).arg("--data-dir").arg(&data);
    refuses(&mut dev, dir.path(), CANNOT_START, &["the port is in use"]).await;
    assert!(!data.exists());
}

/// The same command with another value after `flag`.
fn replace(command: &Command, flag: &str, value: &str) -> Command {
    let mut new = synod();
    let mut after_flag = false;
    for argument in command.get_args() {
        new.arg(if after_flag { value.as_ref() } else { argument });
        after_flag = argument == flag;
    }
    new
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_of_another_cluster_or_member_is_refused_untouched() {
    let mut cluster = Cluster::start(1).await;
    cluster.members[0].client().await.put("key", "value", None).await.unwrap();
    cluster.members[0].kill();
    let (member, dir) = (&cluster.members[0], cluster.dir.path());
    let identity = fs::read(member.data.join("identity")).unwrap();

    let mut other_cluster = member.command();
    other_cluster.args(["--initial-cluster-token", "another"]);
    let parts = ["belongs to another cluster", "\"another\"", "--initial-cluster-token"];
    refuses(&mut other_cluster, dir, CANNOT_START, &parts).await;

    let mut other_member = alone(ports::free_row(2), &member.data);
    other_member.args(["--name", "somebody"]);
    refuses(&mut other_member, dir, CANNOT_START, &["m1", "somebody"]).await;

    assert_eq!(fs::read(member.data.join("identity")).unwrap(), identity);
    cluster.members[0].start();
    cluster.ready().await;
    let answer = cluster.members[0].client().await.get("key", None).await.unwrap();
    assert_eq!(answer.kvs()[0].value(), b"value");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_that_cannot_be_read_is_named_with_the_place_and_the_reason() {
    let dir = scratch();
    let (dir, data) = (dir.path(), dir.path().join("data"));
    let file = dir.join("member.toml");
    let with_file = || {
        let mut command = alone(ports::free_row(2), &data);
        command.arg("--config-file").arg(&file);
        command
    };
    let code = WRONG_CONFIGURATION;
    refuses(&mut with_file(), dir, code, &["member.toml cannot be read", "No such file"]).await;
    fs::write(&file, "name = \"a\"\nelection-timeout = \"soon\"\n").unwrap();
    refuses(&mut with_file(), dir, code, &["member.toml is not valid", "line 2"]).await;
    fs::write(&file, "nmae = \"a\"\n").unwrap();
    refuses(&mut with_file(), dir, code, &["member.toml is not valid", "unknown field `nmae`"]).await;
    fs::write(&file, [0xff, 0xfe, 0x00]).unwrap();
    refuses(&mut with_file(), dir, code, &["member.toml cannot be read"]).await;

    fs::write(&file, "election-timeout = 10\n").unwrap();
    let parts = ["election-timeout (from the file)", "at least five times heartbeat-interval"];
    refuses(&mut with_file(), dir, code, &parts).await;
    let mut wrong_variable = alone(ports::free_row(2), &data);
    wrong_variable.env("SYNOD_INITIAL_CLUSTER", "a=ftp://nowhere");
    refuses(&mut wrong_variable, dir, code, &["initial-cluster (from the environment)", "ftp://nowhere"])
        .await;
    assert!(!data.exists(), "nothing was made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flag_counts_more_than_a_variable_and_a_variable_more_than_the_file() {
    let dir = scratch();
    let file = dir.path().join("member.toml");
    fs::write(&file, "name = \"file\"\nmax-txn-ops = 1\nlog-level = \"debug\"\n").unwrap();
    let mut command = synod();
    command.args(["serve", "--print-config", "--name", "flag", "--config-file"]).arg(&file);
    command.env("SYNOD_NAME", "variable").env("SYNOD_MAX_TXN_OPS", "2");
    let printed = stdout(&run(command).await);
    for line in [
        "name = \"flag\" # a flag",
        "max-txn-ops = 2 # the environment",
        "log-level = \"debug\" # the file",
        "heartbeat-interval = 100 # the default",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line} is missing:\n{printed}");
    }
}
