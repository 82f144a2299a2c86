"""Card fraud: a transaction in, the probability that it is fraud and a decision out."""

from inferstream.tasks.fraud.decide import FraudResult, Reason
from inferstream.tasks.fraud.event import Aggregates, Transaction
from inferstream.tasks.fraud.task import FraudTask

__all__ = ["Aggregates", "FraudResult", "FraudTask", "Reason", "Transaction"]
