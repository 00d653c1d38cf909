//! `synod members`.

use clap::Args;
use synod_server::proto::etcdserverpb::cluster_client::ClusterClient;
use synod_server::proto::etcdserverpb::{Member, MemberListRequest, MemberListResponse};

use super::args::Common;
use super::connection::Cluster;
use super::error::ClientError;
use super::{json, output};

const EXAMPLES: &str = "\
Examples:
  synod members
  synod members --json";

/// Shows who the members are.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct MembersCommand {
    #[command(flatten)]
    common: Common,
}

/// Who the members are, as the first one that answers knows them: that works without a leader, too.
///
/// # Errors
/// A refusal, or that no member answered.
pub(super) async fn list(cluster: &Cluster) -> Result<MemberListResponse, ClientError> {
    let ask = |channel, request| async move { ClusterClient::new(channel).member_list(request).await };
    let mut response = cluster.read(MemberListRequest { linearizable: false }, ask).await?;
    // They come by identity, which is random.
    response.members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(response)
}

/// What a member is called: its name, or its identity while it has none.
pub(super) fn name(member: &Member) -> String {
    if member.name.is_empty() { format!("{:x}", member.id) } else { member.name.clone() }
}

fn render(members: &[Member], width: Option<u16>) -> String {
    let header = ["name", "identity", "clients", "peers"].map(str::to_owned).to_vec();
    let rows = members.iter().map(|member| {
        let urls = |urls: &[String]| if urls.is_empty() { "unknown".to_owned() } else { urls.join("\n") };
        vec![name(member), format!("{:x}", member.id), urls(&member.client_ur_ls), urls(&member.peer_ur_ls)]
    });
    output::table(header, rows.collect(), width)
}

pub(super) async fn run(command: MembersCommand) -> Result<(), ClientError> {
    let response = list(&Cluster::new(&command.common)).await?;
    if command.common.json {
        return output::print_json(&json::members(&response));
    }
    output::print(render(&response.members, None).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_in_a_table() {
        let member = |id, name: &str, client: &[&str]| Member {
            id,
            name: name.to_owned(),
            peer_ur_ls: vec!["http://127.0.0.1:2380".to_owned()],
            client_ur_ls: client.iter().map(|url| (*url).to_owned()).collect(),
            is_learner: false,
        };
        let members = [member(0x1f, "n1", &["http://127.0.0.1:2379"]), member(0xab, "", &[])];
        let expected = "\
┌──────┬──────────┬───────────────────────┬───────────────────────┐
│ name ┆ identity ┆ clients               ┆ peers                 │
╞══════╪══════════╪═══════════════════════╪═══════════════════════╡
│ n1   ┆ 1f       ┆ http://127.0.0.1:2379 ┆ http://127.0.0.1:2380 │
│ ab   ┆ ab       ┆ unknown               ┆ http://127.0.0.1:2380 │
└──────┴──────────┴───────────────────────┴───────────────────────┘";
        assert_eq!(render(&members, Some(80)), expected);
    }
}
