"""The data path of one pipeline, a module per stage, in this order:

    consume -> decode -> batch -> infer -> decide -> emit -> commit

`topology` joins the stages. What they need from outside is in `interfaces`; what they decide by is in `policy`.
"""
