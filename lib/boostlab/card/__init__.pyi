from .model_card import log_card as log_card, make_card as make_card
