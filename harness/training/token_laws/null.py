"""The null law: two conditions that differ in the seed alone, to see how often the rule is wrong."""

from fathom.harness.training.token_laws.capacity import KEPT, train_on_facts
from fathom.harness.training.token_laws.decoder import TokenRecipe
from fathom.harness.training.token_laws.design import Condition, Gate, Rule, TokenLaw

RECIPE = TokenRecipe(hidden=16, layers=1, heads=2, steps=120, batch=16, learning_rate=0.02, people=128)

LAW = TokenLaw(
    name="null",
    claim="Two models that differ in nothing but the seed differ in bits a parameter: false by construction.",
    rule_text=(
        "Shown if the difference is above 0 over the whole of its 95% interval over seeds, reversed if below 0. As "
        "there is no effect, one of the two is to happen in at most 5% of runs of five seeds."
    ),
    reference="A check of Fathom's own rule",
    conditions=(
        Condition("one", "a seed", RECIPE),
        Condition("other", "another seed", RECIPE, seed_shift=1_000_000),
    ),
    gates=(Gate(KEPT, ("one", "other"), 0.01, "a model keeps something"),),
    rule=Rule("lead", KEPT, "other", "one", 0.0, "bits"),
    train=train_on_facts,
)
