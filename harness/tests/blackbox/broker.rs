//! The shared RabbitMQ node, divided: each service has a virtual host of its own there, as it has a
//! database of its own. Queues are named alike in all of them, and no service sees another's.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    process::{Command, Stdio},
};

use serde_json::json;

use crate::stack::endpoints;

/// What `rabbitmqctl` needs to find a node and to be let in: the node's name, the directory with
/// its cookie, its port mapper, and where its programs are.
const OF_THE_NODE: [&str; 6] =
    ["RABBITMQ_NODENAME", "HOME", "ERL_EPMD_PORT", "ERL_EPMD_ADDRESS", "PATH", "LC_ALL"];

/// The URL of an empty virtual host on the shared node.
pub(crate) async fn fresh_virtual_host() -> String {
    let url = &endpoints().await.amqp_url;
    let name = format!("test-{}", uuid::Uuid::new_v4().simple());
    let (server, _) = url.rsplit_once('/').expect("a URL with a virtual host");
    let fresh = format!("{server}/{name}");
    let (url, adding) = (url.clone(), name);
    tokio::task::spawn_blocking(move || add(&url, &adding)).await.expect("a virtual host");
    fresh
}

fn add(url: &str, name: &str) {
    let address = url.trim_start_matches("amqp://");
    let (user, _) = address.split_once(':').expect("a user and a password");
    let (_, place) = address.rsplit_once('@').expect("a host after the user");
    let port = place.split([':', '/']).nth(1).expect("a port");
    let definitions = json!({
        "vhosts": [{"name": name}],
        "permissions": [{"user": user, "vhost": name, "configure": ".*", "write": ".*", "read": ".*"}],
    });
    // One call makes the host and opens it; `add_vhost` and `set_permissions` would be two, and
    // each starts an Erlang of its own.
    let mut child = rabbitmqctl(port)
        // A node that is busy may need longer than 7 s for the handshake of a connection.
        .env("ERL_AFLAGS", "-kernel net_setuptime 120")
        .args(["--quiet", "--timeout", "300", "import_definitions", "--format", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("rabbitmqctl is installed with RabbitMQ");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(definitions.to_string().as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(
        output.status.success(),
        "rabbitmqctl: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// `rabbitmqctl` for the node that listens on this port. What it needs to know stands in the
/// environment of the node's processes.
fn rabbitmqctl(port: &str) -> Command {
    let named = format!("RABBITMQ_NODENAME=slotproof-{port}@localhost");
    let environment = fs::read_dir("/proc")
        .expect("this is Linux")
        .flatten()
        .filter_map(|process| fs::read(process.path().join("environ")).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .find(|text| text.split('\0').any(|variable| variable == named))
        .expect("the node runs");
    let variables: BTreeMap<&str, &str> =
        environment.split('\0').filter_map(|variable| variable.split_once('=')).collect();
    // Debian's wrapper in /usr/sbin changes to a user of its own, who may not read the cookie.
    let beside = "/usr/lib/rabbitmq/bin/rabbitmqctl";
    let program = if fs::exists(beside).is_ok_and(|is| is) { beside } else { "rabbitmqctl" };
    let mut command = Command::new(program);
    command.env_clear().envs(OF_THE_NODE.iter().filter_map(|name| variables.get_key_value(name)));
    command
}
