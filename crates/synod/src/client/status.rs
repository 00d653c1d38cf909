//! `synod status`, and finding the members that it and `synod log` ask.

use clap::Args;
use futures::future::join_all;
use serde_json::{Value, json};
use synod_server::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use synod_server::proto::etcdserverpb::{Member, StatusRequest, StatusResponse};

use super::args::Common;
use super::connection::{Cluster, Endpoint};
use super::error::ClientError;
use super::{json as etcd_json, members, output};

const EXAMPLES: &str = "\
Examples:
  synod status                               every member, found through the one endpoint
  synod status --endpoints a:2379,b:2379     exactly these two

Ends with 3 if one of them does not answer.";

/// Shows how every member stands.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct StatusCommand {
    #[command(flatten)]
    common: Common,
}

/// A member to ask: where, and what it is called if that is known.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) endpoint: Endpoint,
    pub(super) member: Option<Member>,
}

/// Whom to ask for a picture of the whole cluster: with one endpoint, all members are found through it; with
/// several, exactly those are asked.
///
/// # Errors
/// If nobody answers who the members are.
pub(super) async fn targets(cluster: &Cluster) -> Result<Vec<Target>, ClientError> {
    if let [_, _, ..] = cluster.endpoints() {
        let given = cluster.endpoints().iter().cloned();
        return Ok(given.map(|endpoint| Target { endpoint, member: None }).collect());
    }
    let members = members::list(cluster).await?.members;
    let found: Vec<Target> = members
        .into_iter()
        .filter_map(|member| {
            let endpoint = member.client_ur_ls.iter().find_map(|url| url.parse().ok())?;
            Some(Target { endpoint, member: Some(member) })
        })
        .collect();
    if found.is_empty() {
        let text = "the members do not say where they listen for clients\nName them with --endpoints.";
        return Err(ClientError::NotDone(text.to_owned()));
    }
    Ok(found)
}

/// How one member stands.
///
/// # Errors
/// That it does not answer.
pub(super) async fn status(cluster: &Cluster, endpoint: &Endpoint) -> Result<StatusResponse, ClientError> {
    let ask = |channel, request| async move { MaintenanceClient::new(channel).status(request).await };
    cluster.only(endpoint).read(StatusRequest {}, ask).await
}

/// One line of the table.
struct Row {
    target: Target,
    answer: Result<StatusResponse, String>,
}

fn member_id(status: &StatusResponse) -> u64 {
    status.header.map_or(0, |header| header.member_id)
}

fn render(rows: &[Row], width: Option<u16>) -> String {
    let header = [
        "endpoint", "member", "leads", "round", "revision", "chosen", "applied", "on disk", "live", "errors",
    ];
    let lines = rows.iter().map(|row| {
        let name = row.target.member.as_ref().map(members::name);
        match &row.answer {
            Ok(status) => vec![
                row.target.endpoint.to_string(),
                name.unwrap_or_else(|| format!("{:x}", member_id(status))),
                if status.leader != 0 && status.leader == member_id(status) { "yes" } else { "" }.to_owned(),
                status.raft_term.to_string(),
                output::revision(status.header).to_string(),
                status.raft_index.to_string(),
                status.raft_applied_index.to_string(),
                output::bytes(status.db_size),
                output::bytes(status.db_size_in_use),
                status.errors.join("\n"),
            ],
            Err(reason) => {
                let mut line = vec![row.target.endpoint.to_string(), name.unwrap_or_default()];
                line.resize(header.len() - 1, "–".to_owned());
                line.push(reason.clone());
                line
            }
        }
    });
    output::table(header.map(str::to_owned).to_vec(), lines.collect(), width)
}

fn to_json(rows: &[Row]) -> Value {
    let rows = rows.iter().map(|row| match &row.answer {
        Ok(status) => {
            json!({ "Endpoint": row.target.endpoint.to_string(), "Status": etcd_json::status(status) })
        }
        Err(reason) => json!({ "Endpoint": row.target.endpoint.to_string(), "Error": reason }),
    });
    Value::Array(rows.collect())
}

pub(super) async fn run(command: StatusCommand) -> Result<(), ClientError> {
    let cluster = Cluster::new(&command.common);
    let ask = |target: Target| async {
        let answer = status(&cluster, &target.endpoint).await;
        (target, answer)
    };
    let answers = join_all(targets(&cluster).await?.into_iter().map(ask)).await;
    let mut silent = Vec::new();
    let mut rows = Vec::new();
    for (target, answer) in answers {
        if let Err(error) = &answer {
            silent.push((target.endpoint.clone(), error.in_one_line()));
        }
        rows.push(Row { target, answer: answer.map_err(|error| error.in_one_line()) });
    }
    if command.common.json {
        output::print_json(&to_json(&rows))?;
    } else {
        output::print(render(&rows, None).as_bytes())?;
    }
    if silent.is_empty() { Ok(()) } else { Err(ClientError::SomeSilent(silent)) }
}

#[cfg(test)]
mod tests {
    use synod_server::proto::etcdserverpb::ResponseHeader;

    use super::*;

    #[test]
    fn members_that_answer_and_one_that_does_not() {
        let target = |port: u16, name: &str| Target {
            endpoint: format!("127.0.0.1:{port}").parse().unwrap(),
            member: Some(Member { name: name.to_owned(), ..Default::default() }),
        };
        let status = |member_id, errors: &[&str]| StatusResponse {
            header: Some(ResponseHeader { member_id, revision: 12, ..Default::default() }),
            leader: 1,
            raft_index: 40,
            raft_applied_index: 39,
            raft_term: 3,
            db_size: 16 << 20,
            db_size_in_use: 500,
            errors: errors.iter().map(|error| (*error).to_owned()).collect(),
            ..Default::default()
        };
        let rows = [
            Row { target: target(2379, "n1"), answer: Ok(status(1, &[])) },
            Row { target: target(2381, "n2"), answer: Ok(status(2, &["disk is slow"])) },
            Row { target: target(2383, "n3"), answer: Err("Connection refused".to_owned()) },
        ];
        let expected = "\
┌────────────────┬────────┬───────┬───────┬──────────┬────────┬─────────┬──────────┬───────┬────────────────────┐
│ endpoint       ┆ member ┆ leads ┆ round ┆ revision ┆ chosen ┆ applied ┆ on disk  ┆ live  ┆ errors             │
╞════════════════╪════════╪═══════╪═══════╪══════════╪════════╪═════════╪══════════╪═══════╪════════════════════╡
│ 127.0.0.1:2379 ┆ n1     ┆ yes   ┆ 3     ┆ 12       ┆ 40     ┆ 39      ┆ 16.0 MiB ┆ 500 B ┆                    │
│ 127.0.0.1:2381 ┆ n2     ┆       ┆ 3     ┆ 12       ┆ 40     ┆ 39      ┆ 16.0 MiB ┆ 500 B ┆ disk is slow       │
│ 127.0.0.1:2383 ┆ n3     ┆ –     ┆ –     ┆ –        ┆ –      ┆ –       ┆ –        ┆ –     ┆ Connection refused │
└────────────────┴────────┴───────┴───────┴──────────┴────────┴─────────┴──────────┴───────┴────────────────────┘";
        assert_eq!(render(&rows, Some(130)), expected);
    }
}
