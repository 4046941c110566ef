//! Client quotas (KIP-546): how fast a user may read.

use kafka_protocol::messages::AlterClientQuotasRequest;
use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::protocol::StrBytes;

use super::cluster::Cluster;
use crate::BrokerError;

/// Kafka's key for octets a second that a user may fetch from each broker.
const CONSUMER_BYTE_RATE: &str = "consumer_byte_rate";

/// Holds a user's fetches to so many octets a second; 0 is without limit.
pub(crate) async fn set(
    cluster: &Cluster,
    user: &str,
    bytes_per_second: u64,
) -> Result<(), BrokerError> {
    let entity = EntityData::default()
        .with_entity_type(StrBytes::from_static_str("user"))
        .with_entity_name(Some(StrBytes::from_string(user.to_owned())));
    let operation = OpData::default()
        .with_key(StrBytes::from_static_str(CONSUMER_BYTE_RATE))
        .with_value(bytes_per_second as f64)
        .with_remove(bytes_per_second == 0);
    let entry = EntryData::default()
        .with_entity(vec![entity])
        .with_ops(vec![operation]);
    let request = AlterClientQuotasRequest::default().with_entries(vec![entry]);
    let connection = cluster.controller().await?;
    let response = connection.call(&request).await?;
    let subject = format!("quota of user {user}");
    for result in &response.entries {
        let message = result.error_message.as_deref();
        connection
            .subject(&subject)
            .check(result.error_code, message)?;
    }
    Ok(())
}
