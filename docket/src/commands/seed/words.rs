//! The words that names and texts are made of. Everybody and everything here is invented.

use rand::RngExt;

use super::shape::{Dice, chance, one};

const GIVEN: &[&str] = &[
    "Adela", "Amir", "Anouk", "Arjun", "Beatriz", "Bodil", "Camille", "Carlos", "Chiara", "Daan", "Dalia", "Devika",
    "Elif", "Emeka", "Eszter", "Farid", "Fiona", "Gustav", "Hana", "Henrik", "Ines", "Ivo", "Jasmin", "Jonas", "Kaito",
    "Katrin", "Lale", "Lucian", "Maija", "Marek", "Mei", "Nadia", "Nils", "Noor", "Olek", "Paloma", "Pavel", "Priya",
    "Quentin", "Rania", "Rasmus", "Rosa", "Sanna", "Sefa", "Silvan", "Tamar", "Teodor", "Thandi", "Uma", "Vera",
    "Viktor", "Wanda", "Xenia", "Yusuf", "Zita", "Zoran",
];

const FAMILY: &[&str] = &[
    "Abara",
    "Albrecht",
    "Andersson",
    "Banerjee",
    "Barros",
    "Bellweather",
    "Castellan",
    "Chandra",
    "Dahl",
    "Demir",
    "Dubois",
    "Eklund",
    "Faber",
    "Ferreira",
    "Fontaine",
    "Gallo",
    "Gruber",
    "Haddad",
    "Halloran",
    "Hasegawa",
    "Holm",
    "Ibarra",
    "Ivanova",
    "Jansen",
    "Kaplan",
    "Kowalczyk",
    "Laine",
    "Lindqvist",
    "Lombardi",
    "Marchetti",
    "Mbeki",
    "Moreau",
    "Nakata",
    "Novak",
    "Obi",
    "Okafor",
    "Olsen",
    "Papadakis",
    "Petrov",
    "Quist",
    "Ramanathan",
    "Richter",
    "Rosales",
    "Sandoval",
    "Schuster",
    "Sokolov",
    "Tanaka",
    "Tremblay",
    "Ueda",
    "Valdez",
    "Vogel",
    "Wójcik",
    "Yamada",
    "Yilmaz",
    "Zanetti",
    "Zeman",
];

const BRAND: &[&str] = &[
    "Alder", "Amber", "Anchor", "Arbor", "Aster", "Atlas", "Basalt", "Beacon", "Birch", "Bramble", "Cedar", "Cobalt",
    "Copper", "Coral", "Crescent", "Delta", "Ember", "Falcon", "Fathom", "Flint", "Garnet", "Glacier", "Granite",
    "Harbour", "Hazel", "Heron", "Indigo", "Juniper", "Kestrel", "Lantern", "Larch", "Linden", "Lumen", "Maple",
    "Meridian", "Mistral", "Moor", "Nimbus", "North", "Opal", "Orchard", "Osprey", "Pebble", "Pinnacle", "Quarry",
    "Quill", "Raven", "Ridge", "Rowan", "Saffron", "Sequoia", "Slate", "Solstice", "Sparrow", "Summit", "Tamarack",
    "Tern", "Thistle", "Umber", "Vale", "Willow", "Zephyr",
];

const SECTOR: &[&str] = &[
    "Analytics",
    "Bank",
    "Biotech",
    "Capital",
    "Chemicals",
    "Energy",
    "Foods",
    "Foundation",
    "Freight",
    "Health",
    "Institute",
    "Instruments",
    "Insurance",
    "Labs",
    "Logistics",
    "Materials",
    "Media",
    "Mining",
    "Mobility",
    "Networks",
    "Optics",
    "Partners",
    "Pharma",
    "Power",
    "Rail",
    "Research",
    "Robotics",
    "Semiconductors",
    "Shipping",
    "Software",
    "Steel",
    "Systems",
    "Telecom",
    "Textiles",
    "Timber",
    "Trust",
    "Water",
    "Works",
];

const QUALIFIER: &[&str] = &[
    "adaptive",
    "ambient",
    "automated",
    "causal",
    "circular",
    "cooperative",
    "decentralised",
    "differential",
    "distributed",
    "dynamic",
    "early",
    "embedded",
    "federated",
    "formal",
    "incremental",
    "integrated",
    "low-carbon",
    "modular",
    "open",
    "passive",
    "predictive",
    "preventive",
    "private",
    "proactive",
    "regional",
    "resilient",
    "reversible",
    "secure",
    "shared",
    "sustainable",
    "transparent",
    "verified",
];

const SUBJECT: &[&str] = &[
    "accounting",
    "auditing",
    "batteries",
    "care",
    "catalysis",
    "computing",
    "cooling",
    "design",
    "diagnostics",
    "drainage",
    "encryption",
    "farming",
    "finance",
    "forecasting",
    "governance",
    "heating",
    "imaging",
    "inspection",
    "insurance",
    "learning",
    "licensing",
    "logistics",
    "maintenance",
    "manufacturing",
    "mapping",
    "packaging",
    "pricing",
    "procurement",
    "recycling",
    "routing",
    "sensing",
    "storage",
    "supply",
    "testing",
    "training",
    "transport",
];

const PLACE_HEAD: &[&str] = &[
    "Alder", "Ash", "Black", "Brook", "Clear", "Cold", "Crane", "East", "Elm", "Fair", "Fern", "Glen", "Gold", "Green",
    "Grey", "Hart", "High", "Iron", "Kings", "Lang", "Long", "Marl", "Mill", "New", "North", "Oak", "Old", "Pine",
    "Red", "Rose", "Salt", "Silver", "South", "Stone", "Swan", "Thorn", "West", "White", "Wild", "Winter",
];

const PLACE_TAIL: &[&str] = &[
    "bay", "borough", "bridge", "brook", "bury", "cliff", "combe", "dale", "fell", "field", "ford", "gate", "ham",
    "haven", "hill", "holm", "hurst", "land", "ley", "mere", "mont", "moor", "mouth", "port", "ridge", "shore",
    "stead", "ton", "vale", "wick", "wood", "worth",
];

const GATHERING: &[&str] = &[
    "Congress",
    "Conference",
    "Exhibition",
    "Forum",
    "Hearing",
    "Meeting",
    "Round Table",
    "Summit",
    "Symposium",
    "Workshop",
];

/// A person's name.
pub fn person(dice: &mut Dice) -> String {
    let (given, family) = (one(GIVEN, dice), one(FAMILY, dice));
    if chance(30, dice) {
        let middle = one(GIVEN, dice).get(..1).unwrap_or("A");
        return format!("{given} {middle}. {family}");
    }
    format!("{given} {family}")
}

/// An organisation's name.
pub fn organisation(dice: &mut Dice) -> String {
    let (brand, sector) = (one(BRAND, dice), one(SECTOR, dice));
    match dice.random_range(0..4) {
        0 => format!("{brand} {sector}"),
        1 => format!("{brand} & {} {sector}", one(FAMILY, dice)),
        2 => format!("{brand}{} {sector}", one(PLACE_TAIL, dice)),
        _ => format!("{} {brand} {sector}", place(dice)),
    }
}

/// What an organisation of that name does.
pub fn sector(name: &str) -> String {
    name.rsplit(' ').next().unwrap_or(name).to_lowercase()
}

/// A term.
pub fn concept(dice: &mut Dice) -> String {
    let (qualifier, subject) = (one(QUALIFIER, dice), one(SUBJECT, dice));
    if chance(40, dice) {
        format!("{qualifier} {} {subject}", one(QUALIFIER, dice))
    } else {
        format!("{qualifier} {subject}")
    }
}

/// A place's name.
pub fn place(dice: &mut Dice) -> String {
    format!("{}{}", one(PLACE_HEAD, dice), one(PLACE_TAIL, dice))
}

/// An event's name.
pub fn gathering(dice: &mut Dice) -> String {
    let subject = one(SUBJECT, dice);
    let (head, tail) = subject.split_at(1);
    format!("{} {}{tail} {}", place(dice), head.to_uppercase(), one(GATHERING, dice))
}
