//! What everything is called: ids that follow from the organisation and the seed, so that a repetition finds it there.

use docket_domain::feed::article_id;
use docket_domain::knowledge::entity_id;
use docket_events::engagement::Item;
use uuid::Uuid;

use super::reading::Thing;

/// The names of what a seed makes in an organisation.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    /// The organisation.
    pub tenant: Uuid,
    /// The seed.
    pub seed: u64,
}

impl Names {
    /// The caller's own name for a thing, such as `seed:7:entity:123`.
    pub fn external(&self, what: &str, place: usize) -> String {
        format!("seed:{}:{what}:{place}", self.seed)
    }

    /// Who adds what nobody in particular adds.
    pub fn seeder(&self) -> Uuid {
        Uuid::new_v5(&self.tenant, b"seed")
    }

    /// An entity's id.
    pub fn entity(&self, place: usize) -> Uuid {
        entity_id(self.tenant, &self.external("entity", place))
    }

    /// An article's id.
    pub fn article(&self, place: usize) -> Uuid {
        article_id(self.tenant, &self.external("article", place))
    }

    /// The thing that is read.
    pub fn item(&self, thing: Thing) -> Item {
        match thing {
            Thing::Article(place) => Item::Article(self.article(place)),
            Thing::Entity(place) => Item::Entity(self.entity(place)),
        }
    }

    /// A user's id.
    pub fn user(&self, place: usize) -> Uuid {
        Uuid::new_v5(&self.tenant, self.external("user", place).as_bytes())
    }

    /// A user's address, at which no mail arrives.
    pub fn email(&self, place: usize, name: &str) -> String {
        let name: String =
            name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let tenant = self.tenant.simple().to_string();
        // Another organisation may have users of the same seed.
        format!("{name}.{place}@seed-{}.{}.docket.invalid", self.seed, &tenant[tenant.len() - 8..])
    }
}

#[cfg(test)]
mod tests {
    use docket_domain::identity::check_email;

    use super::*;

    #[test]
    fn names_follow_from_organisation_and_seed_alone() {
        let names = |tenant: u128, seed| Names { tenant: Uuid::from_u128(tenant), seed };
        assert_eq!(names(1, 7).external("entity", 123), "seed:7:entity:123");
        assert_eq!(names(1, 7).user(3), names(1, 7).user(3));
        let others = [names(1, 7).user(3), names(2, 7).user(3), names(1, 8).user(3), names(1, 7).user(4)];
        assert!(others.iter().enumerate().all(|(index, id)| !others[..index].contains(id)));
        let email = names(1, 7).email(3, "Zita W. Wójcik");
        assert_eq!(email, "zita-w--w-jcik.3@seed-7.00000001.docket.invalid");
        assert_eq!(check_email(&email), Ok(email));
    }
}
