"""What is asked: mixture, loss, optimizer, initial state. Symbolic; nothing here knows how it will be solved."""

from gmsym.problem import coordinates as coordinates
from gmsym.problem import losses as losses
from gmsym.problem import observables as observables
from gmsym.problem import optimizers as optimizers
from gmsym.problem import sampling as sampling
from gmsym.problem.base import AbstractProblem as AbstractProblem
from gmsym.problem.instance import Instance as Instance
from gmsym.problem.loss import Kink as Kink
from gmsym.problem.loss import Loss as Loss
from gmsym.problem.mixture import GaussianMixture as GaussianMixture
from gmsym.problem.one_step import OneStep as OneStep
from gmsym.problem.one_step import OneStepNumbers as OneStepNumbers
from gmsym.problem.optimizer import Optimizer as Optimizer
from gmsym.problem.problem import Problem as Problem
from gmsym.problem.teacher import Teacher as Teacher
from gmsym.problem.trained import Trained as Trained
