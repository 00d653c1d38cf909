//! `synod log`: two clients want the first slot, and every member tells the same story.

use serde_json::Value;

use crate::support::cluster::{Cluster, Member};
use crate::support::poll::eventually;
use crate::support::process::{run, stdout, synod};

async fn put(member: &Member, key: &str, value: &str) {
    let mut command = synod();
    command.args(["put", "--endpoints", &member.endpoint(), key, value]);
    stdout(&run(command).await);
}

async fn log(cluster: &Cluster, more: &[&str]) -> String {
    let mut command = synod();
    command.args(["log", "--from", "1", "--endpoints", &cluster.endpoints()]).args(more);
    stdout(&run(command).await)
}

/// Everything in every slot of one member, once all of it is applied.
fn applied_slots(member: &Value) -> Result<Vec<String>, String> {
    let mut slots = Vec::new();
    for slot in member["slots"].as_array().unwrap() {
        if slot["applied"] != true {
            return Err(format!("not applied: {slot}"));
        }
        slots.push(format!("{}: {}", slot["slot"], slot["operations"]));
    }
    Ok(slots)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_clients_that_both_want_the_first_slot_find_the_same_log_on_all_members() {
    let cluster = Cluster::start(3).await;
    let (first, second) = (&cluster.members[0], &cluster.members[1]);
    tokio::join!(put(first, "k1", "v1"), put(second, "k2", "v2"));

    let story = eventually("every member has applied every slot", async || {
        let logs: Value = serde_json::from_str(&log(&cluster, &["--json"]).await).unwrap();
        let members = logs["members"].as_array().unwrap();
        assert_eq!(members.len(), 3);
        let stories: Vec<Vec<String>> = members.iter().map(applied_slots).collect::<Result<_, _>>()?;
        if stories.iter().all(|story| *story == stories[0]) {
            Ok(stories[0].clone())
        } else {
            Err(format!("{stories:#?}"))
        }
    })
    .await;
    let whole = story.join("\n");
    assert_eq!((whole.matches("Put k1 v1").count(), whole.matches("Put k2 v2").count()), (1, 1), "{whole}");

    let table = log(&cluster, &[]).await;
    for part in ["Put k1 v1", "Put k2 v2", "ballot", "(1,m"] {
        assert!(table.contains(part), "it does not say \"{part}\":\n{table}");
    }
    for name in ["m1", "m2", "m3"] {
        assert!(table.contains(name), "{table}");
    }
    assert!(table.matches("applied").count() >= 3, "{table}");
}
