//! The limit of cost. Owns the refusal; the cost of each field stands beside the field.

use std::sync::Arc;

use async_graphql::{
    ServerError, ValidationResult, async_trait,
    extensions::{Extension, ExtensionContext, ExtensionFactory, NextValidation},
};

use super::error::{TOO_COMPLEX, refusal};

/// Refuses requests that cost more than this.
pub struct Cost(pub usize);

impl ExtensionFactory for Cost {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Limit(self.0))
    }
}

struct Limit(usize);

#[async_trait::async_trait]
impl Extension for Limit {
    async fn validation(
        &self,
        context: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        let result = next.run(context).await?;
        if result.complexity > self.0 {
            let message = format!(
                "The request costs {} where {} are allowed: ask for smaller pages or fewer fields.",
                result.complexity, self.0
            );
            return Err(vec![refusal(TOO_COMPLEX, message, None)]);
        }
        Ok(result)
    }
}
