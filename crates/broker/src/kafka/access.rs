//! Credentials and rights: SCRAM users (KIP-554) and ACLs.

use std::time::Duration;

use hmac::Hmac;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::{
    AlterUserScramCredentialsRequest, CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest,
};
use kafka_protocol::protocol::StrBytes;
use sha2::{Sha256, Sha512};
use tokio::time::{Instant, sleep};

use super::cluster::Cluster;
use super::config::SaslMechanism;
use crate::{BrokerError, Credential, Lease};

/// PBKDF2 rounds. Passwords are random and long, so that more would only slow logins down; it
/// is also the least that Kafka takes.
const ITERATIONS: u32 = 4096;

/// How long all brokers may take until they know of a changed right.
const PROPAGATION: Duration = Duration::from_secs(15);

/// How often it is looked whether they know.
const PROPAGATION_POLL: Duration = Duration::from_millis(10);

// Kafka's numbers (org.apache.kafka.common.resource and .acl).
const TOPIC: i8 = 2;
const LITERAL: i8 = 3;
const OPERATION_ANY: i8 = 1;
const OPERATION_ALL: i8 = 2;
const READ: i8 = 3;
const DESCRIBE: i8 = 8;
const PERMISSION_ANY: i8 = 1;
const DENY: i8 = 2;
const ALLOW: i8 = 3;

/// Makes the credential exist, with or without the right to read the topic.
pub(crate) async fn grant(
    cluster: &Cluster,
    queue: &str,
    credential: &Credential,
    lease: Lease,
) -> Result<(), BrokerError> {
    cluster.topic(queue).await?;
    let user = credential.username.as_str();
    match lease {
        Lease::Granted => {
            upsert(cluster, credential).await?;
            allow(cluster, queue, user).await?;
            remove(cluster, queue, user, DENY).await
        }
        Lease::Suspended => {
            deny(cluster, queue, user).await?;
            remove(cluster, queue, user, ALLOW).await?;
            upsert(cluster, credential).await
        }
    }
}

/// Takes everything back: denies first, and removes the denial last.
pub(crate) async fn revoke(cluster: &Cluster, queue: &str, user: &str) -> Result<(), BrokerError> {
    deny(cluster, queue, user).await?;
    delete(cluster, user).await?;
    remove(cluster, queue, user, PERMISSION_ANY).await
}

async fn allow(cluster: &Cluster, queue: &str, user: &str) -> Result<(), BrokerError> {
    create(cluster, queue, user, ALLOW, &[READ, DESCRIBE]).await
}

async fn deny(cluster: &Cluster, queue: &str, user: &str) -> Result<(), BrokerError> {
    create(cluster, queue, user, DENY, &[OPERATION_ALL]).await
}

async fn create(
    cluster: &Cluster,
    queue: &str,
    user: &str,
    permission: i8,
    operations: &[i8],
) -> Result<(), BrokerError> {
    let acl = |operation: &i8| {
        AclCreation::default()
            .with_resource_type(TOPIC)
            .with_resource_name(StrBytes::from_string(queue.to_owned()))
            .with_resource_pattern_type(LITERAL)
            .with_principal(principal(user))
            .with_host(StrBytes::from_static_str("*"))
            .with_operation(*operation)
            .with_permission_type(permission)
    };
    let creations = operations.iter().map(acl).collect();
    let request = CreateAclsRequest::default().with_creations(creations);
    let connection = cluster.controller().await?;
    let response = connection.call(&request).await?;
    for result in &response.results {
        let message = result.error_message.as_deref();
        connection
            .subject(queue)
            .check(result.error_code, message)?;
    }
    await_brokers(cluster, queue, user, permission, operations.len()).await
}

async fn remove(
    cluster: &Cluster,
    queue: &str,
    user: &str,
    permission: i8,
) -> Result<(), BrokerError> {
    let filter = DeleteAclsFilter::default()
        .with_resource_type_filter(TOPIC)
        .with_resource_name_filter(Some(StrBytes::from_string(queue.to_owned())))
        .with_pattern_type_filter(LITERAL)
        .with_principal_filter(Some(principal(user)))
        .with_host_filter(None)
        .with_operation(OPERATION_ANY)
        .with_permission_type(permission);
    let request = DeleteAclsRequest::default().with_filters(vec![filter]);
    let connection = cluster.controller().await?;
    let response = connection.call(&request).await?;
    for result in &response.filter_results {
        let message = result.error_message.as_deref();
        connection
            .subject(queue)
            .check(result.error_code, message)?;
    }
    await_brokers(cluster, queue, user, permission, 0).await
}

/// Waits until every broker, each of which decides for itself, has so many rules for the user,
/// or none where none are expected.
async fn await_brokers(
    cluster: &Cluster,
    queue: &str,
    user: &str,
    permission: i8,
    expected: usize,
) -> Result<(), BrokerError> {
    let deadline = Instant::now() + PROPAGATION;
    for broker in cluster.brokers().await? {
        loop {
            let found = count(cluster, broker, queue, user, permission).await?;
            // Rules beyond ours may be the owner's.
            if found == expected || (found > expected && expected > 0) {
                break;
            }
            if Instant::now() > deadline {
                return Err(BrokerError::Unreachable {
                    server: cluster.config().server_list(),
                    cause: format!("broker {} has not heard of the change of rights", broker.0),
                });
            }
            sleep(PROPAGATION_POLL).await;
        }
    }
    Ok(())
}

async fn count(
    cluster: &Cluster,
    broker: kafka_protocol::messages::BrokerId,
    queue: &str,
    user: &str,
    permission: i8,
) -> Result<usize, BrokerError> {
    let request = DescribeAclsRequest::default()
        .with_resource_type_filter(TOPIC)
        .with_resource_name_filter(Some(StrBytes::from_string(queue.to_owned())))
        .with_pattern_type_filter(LITERAL)
        .with_principal_filter(Some(principal(user)))
        .with_host_filter(None)
        .with_operation(OPERATION_ANY)
        .with_permission_type(permission);
    let connection = cluster.broker(broker).await?;
    let response = connection.call(&request).await?;
    let message = response.error_message.as_deref();
    connection
        .subject(queue)
        .check(response.error_code, message)?;
    Ok(response
        .resources
        .iter()
        .map(|resource| resource.acls.len())
        .sum())
}

async fn upsert(cluster: &Cluster, credential: &Credential) -> Result<(), BrokerError> {
    let (mechanism, salt, salted_password) = salt(credential)?;
    let upsertion = ScramCredentialUpsertion::default()
        .with_name(StrBytes::from_string(credential.username.clone()))
        .with_mechanism(mechanism)
        .with_iterations(ITERATIONS.cast_signed())
        .with_salt(salt.into())
        .with_salted_password(salted_password.into());
    let request = AlterUserScramCredentialsRequest::default().with_upsertions(vec![upsertion]);
    alter(cluster, &request, &credential.username).await
}

async fn delete(cluster: &Cluster, user: &str) -> Result<(), BrokerError> {
    for mechanism in [SCRAM_SHA_256, SCRAM_SHA_512] {
        let deletion = ScramCredentialDeletion::default()
            .with_name(StrBytes::from_string(user.to_owned()))
            .with_mechanism(mechanism);
        let request = AlterUserScramCredentialsRequest::default().with_deletions(vec![deletion]);
        alter(cluster, &request, user).await?;
    }
    Ok(())
}

async fn alter(
    cluster: &Cluster,
    request: &AlterUserScramCredentialsRequest,
    user: &str,
) -> Result<(), BrokerError> {
    let connection = cluster.controller().await?;
    let response = connection.call(request).await?;
    for result in &response.results {
        match ResponseError::try_from_code(result.error_code) {
            // It is gone already.
            Some(ResponseError::ResourceNotFound) => {}
            _ => {
                let subject = format!("user {user}");
                let message = result.error_message.as_deref();
                connection
                    .subject(&subject)
                    .check(result.error_code, message)?;
            }
        }
    }
    Ok(())
}

const SCRAM_SHA_256: i8 = 1;
const SCRAM_SHA_512: i8 = 2;

/// Kafka's number of the mechanism, a fresh salt, and the password under it (RFC 5802).
fn salt(credential: &Credential) -> Result<(i8, Vec<u8>, Vec<u8>), BrokerError> {
    let mut salt = vec![0; 24];
    getrandom::fill(&mut salt).map_err(|cause| BrokerError::Storage {
        queue: credential.username.clone(),
        cause: format!("no random numbers: {cause}"),
    })?;
    let password = credential.password.expose().as_bytes();
    let unsupported = || BrokerError::Unsupported {
        kind: "kafka".to_owned(),
        what: format!("keep a credential for {}", credential.mechanism),
    };
    match credential.mechanism.parse() {
        Ok(SaslMechanism::ScramSha256) => {
            let mut salted = vec![0; 32];
            pbkdf2::pbkdf2::<Hmac<Sha256>>(password, &salt, ITERATIONS, &mut salted)
                .map_err(|_| unsupported())?;
            Ok((SCRAM_SHA_256, salt, salted))
        }
        Ok(SaslMechanism::ScramSha512) => {
            let mut salted = vec![0; 64];
            pbkdf2::pbkdf2::<Hmac<Sha512>>(password, &salt, ITERATIONS, &mut salted)
                .map_err(|_| unsupported())?;
            Ok((SCRAM_SHA_512, salt, salted))
        }
        _ => Err(unsupported()),
    }
}

fn principal(user: &str) -> StrBytes {
    StrBytes::from_string(format!("User:{user}"))
}
