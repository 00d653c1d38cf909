//! What people type, and the settings that they believe to have made.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::cluster::{Cluster, Member, scratch};
use crate::support::process::{Process, in_shell, run, stdout, synod};
use crate::support::verb::{fed, said, verb};

const REFUSED: i32 = 1;
const WRONG_CONFIG: i32 = 2;

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn piped(mut command: Command) -> Command {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn value_of(cluster: &Cluster, key: &str) -> String {
    stdout(&said(verb(cluster, &["get", key, "--print-value-only"])).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_or_closed_standard_input_replaces_no_value() {
    let cluster = Cluster::start(1).await;
    stdout(&said(verb(&cluster, &["put", "k", "kept"])).await);
    let closed = in_shell("exec <&-", &verb(&cluster, &["put", "k"]));
    for command in
        [piped(verb(&cluster, &["put", "k"])), piped(verb(&cluster, &["append", "k", "-"])), piped(closed)]
    {
        let refused = fed(command, Vec::new()).await;
        assert_eq!(refused.status.code(), Some(REFUSED), "{refused:?}");
        assert!(complaint(&refused).contains("for an empty value give ''"), "{refused:?}");
    }
    assert_eq!(value_of(&cluster, "k").await, "kept\n");
    stdout(&said(verb(&cluster, &["put", "k", ""])).await);
    assert_eq!(value_of(&cluster, "k").await, "\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_bytes_and_what_is_printed_can_be_typed_back() {
    let cluster = Cluster::start(1).await;
    let key = OsStr::from_bytes(b"\xd6\xd0");
    let mut put = verb(&cluster, &["put"]);
    put.arg(key).arg(OsStr::from_bytes(b"v\xff"));
    stdout(&said(put).await);
    let mut get = verb(&cluster, &["get"]);
    get.arg(key);
    assert_eq!(stdout(&said(get).await), "\\xd6\\xd0\nv\\xff\n");
    let typed_back = verb(&cluster, &["get", "--escaped", "\\xd6\\xd0", "--print-value-only"]);
    let found = said(typed_back).await;
    assert_eq!(found.stdout, b"v\xff\n");
    let wrong = said(verb(&cluster, &["get", "--escaped", "\\q"])).await;
    assert!(complaint(&wrong).contains("\\q is no escape"), "{wrong:?}");
    let txn = b"val(\xd6\xd0) = \"v\\xff\"\n\nput j {\"a\":1}\n".to_vec();
    let done = fed(piped(verb(&cluster, &["txn"])), txn).await;
    assert!(stdout(&done).starts_with("SUCCESS"), "{done:?}");
    assert_eq!(value_of(&cluster, "j").await, "{\"a\":1}\n");
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_user_reads_a_data_directory_whatever_the_umask_and_wider_ones_are_reported() {
    let mut cluster = Cluster::found(1);
    let member = &mut cluster.members[0];
    let _ = std::fs::remove_dir_all(&member.data);
    let start = |member: &mut Member| {
        let mut command = in_shell("umask 000", &member.command());
        member.process = Some(Process::spawn(&mut command, &member.log));
    };
    start(member);
    cluster.ready().await;
    let member = &mut cluster.members[0];
    assert_eq!(mode(&member.data), 0o700);
    let entries: Vec<_> =
        std::fs::read_dir(&member.data).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(entries.len() >= 3, "{entries:?}");
    for entry in &entries {
        assert_eq!(mode(entry), 0o600, "{}", entry.display());
    }
    let reported = "other users of this machine may read";
    assert!(!member.process.as_ref().unwrap().printed().contains(reported));
    member.kill();
    std::fs::set_permissions(&entries[0], PermissionsExt::from_mode(0o644)).unwrap();
    start(member);
    cluster.ready().await;
    assert!(cluster.members[0].process.as_ref().unwrap().printed().contains(reported));
}

/// What `synod serve` would start with.
async fn printed_config(variables: &[(&str, &str)], flags: &[&str]) -> Output {
    let directory = scratch();
    let mut command = synod();
    command.args(["serve", "--print-config"]).args(flags).current_dir(directory.path());
    command.envs(variables.iter().copied());
    run(command).await
}

#[tokio::test]
async fn an_empty_variable_is_as_good_as_unset() {
    let nothing = stdout(&printed_config(&[], &[]).await);
    let names = ["SYNOD_DATA_DIR", "SYNOD_NAME", "SYNOD_LOG_LEVEL", "SYNOD_MAX_TXN_OPS", "SYNOD_CONFIG_FILE"];
    let empty = printed_config(&names.map(|name| (name, "")), &[]).await;
    assert_eq!(stdout(&empty), nothing);
    let mut get = synod();
    get.env("SYNOD_ENDPOINTS", "").args(["get", "--help"]);
    stdout(&run(get).await);
}

#[tokio::test]
async fn a_variable_that_nothing_reads_is_named_with_the_nearest_one() {
    let warned = printed_config(&[("SYNOD_DATADIR", "/x")], &[]).await;
    stdout(&warned);
    assert!(
        complaint(&warned).contains("SYNOD_DATADIR is set, and nothing reads it; is SYNOD_DATA_DIR meant?")
    );
}

#[tokio::test]
async fn a_wildcard_is_listened_on_and_never_told_to_others() {
    let wildcard = "http://0.0.0.0:2379";
    let refused = printed_config(&[], &["--listen-client-urls", wildcard]).await;
    assert_eq!(refused.status.code(), Some(WRONG_CONFIG));
    assert!(complaint(&refused).contains("--advertise-client-urls http://HOST:2379"), "{refused:?}");
    let peers = ["--initial-cluster", "default=http://[::]:2380", "--listen-peer-urls", "http://[::]:2380"];
    let refused = printed_config(&[], &peers).await;
    assert_eq!(refused.status.code(), Some(WRONG_CONFIG), "{refused:?}");
    let advertised = ["--listen-client-urls", wildcard, "--advertise-client-urls", "http://10.0.0.1:2379"];
    stdout(&printed_config(&[], &advertised).await);
}
